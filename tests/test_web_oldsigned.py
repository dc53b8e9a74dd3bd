"""Keys that may sign in the original's way."""

from __future__ import annotations

import hmac
from urllib.parse import urlencode

from nodeset.errors import BadSettings
from nodeset.settings.file import locate
from nodeset.web.access.keyring import readKeys
from nodeset.web.legacy.signing import oldText
from nodeset.web.legacy.words import Signature
from tests.gates import SECRET, GateCase
from tests.webs import Answer

OTHER = SECRET[::-1]
KEYS = f'[keys.old]\nsecret = "{SECRET}"\nlegacy = true\n\n[keys.new]\nsecret = "{OTHER}"\n'


def made(text: str, secret: str = SECRET) -> str:
    """A signature as the original's clients made it."""
    return hmac.digest(secret.encode(), text.encode(), "sha256").hex()


class OldTests(GateCase):
    def publish(self, key: str = "", **arguments: str) -> Answer:
        """A publish of `{"n": 1}` as x."""
        words = {"event": "x", "message": '{"n": 1}', **arguments}
        return self.web.ask("GET", f"/publish?{urlencode(words)}", {"X-Verify-Key": key} if key else {})

    def subscribe(self, key: str, timestamp: str, signature: str) -> int:
        """The status of a subscribe."""
        words = urlencode({"event": "x", "timestamp": timestamp, "signature": signature})
        return self.web.ask("GET", f"/subscribe?{words}", {"X-Verify-Key": key} if key else {}).status

    def now(self, off: float = 0.0) -> str:
        """A timestamp."""
        return str(int(self.bridge.wall() + off))

    def test_publish(self) -> None:
        """Event and message signed by a legacy key publish, with its name or, where there is but one, without; once."""
        self.open(KEYS)
        listener = self.site.listen("x")
        signature = made('x{"n": 1}')
        self.assertEqual(self.publish("old", signature=signature).body, b"\r\n")
        self.assertEqual([self.publish("old", signature=signature).status for _ in range(3)], [409] * 3)
        self.assertEqual(self.publish("old", signature=signature.upper()).status, 409)
        other = {"message": '{"n": 2}', "signature": made('x{"n": 2}')}
        self.assertEqual(self.publish(**other).status, 200)
        self.site.flush()
        self.assertEqual([msg.fields() for msg in listener.heard], [{"n": 1}, {"n": 2}])

    def test_timestamp(self) -> None:
        """With a timestamp that is signed too, it counts within the window; the same message again is another one then."""
        self.open(KEYS)
        self.site.advance(400)  # of what was signed before it first ran, it knows nothing
        for off, status in ((-299.0, 200), (0.0, 200), (299.0, 200), (-301.0, 403), (301.0, 403)):
            at = self.now(off)
            answer = self.publish("old", timestamp=at, signature=made(f'x{{"n": 1}}{at}'))
            self.assertEqual(answer.status, status, answer.body)
        at = self.now()
        self.assertEqual(self.publish("old", timestamp=str(int(at) + 1), signature=made(f'x{{"n": 1}}{at}')).status, 403)
        self.assertEqual(self.publish("old", timestamp="soon", signature=made('x{"n": 1}soon')).status, 400)

    def test_wrong(self) -> None:
        """Another event, message, secret, a key that is not marked or is none: 403; nothing to see of why."""
        self.open(KEYS)
        listener = self.site.listen(">")
        good = made('x{"n": 1}')
        bodies = set()
        for answer in (
            self.publish("old", signature=good, event="y"),
            self.publish("old", signature=good, message='{"n": 3}'),
            self.publish("old", signature=made('x{"n": 1}', OTHER)),
            self.publish("new", signature=made('x{"n": 1}', OTHER)),
            self.publish("nobody", signature=good),
            self.publish("old", signature="é"),
            self.publish("old", signature=""),
        ):
            self.assertEqual(answer.status, 403, answer.body)
            bodies.add(answer.body)
        self.assertEqual(len(bodies), 1)
        answer = self.publish()
        self.assertEqual((answer.status, "www-authenticate" in answer.headers), (401, True))
        self.site.flush()
        self.assertEqual(listener.heard, [])

    def test_ambiguous(self) -> None:
        """With two legacy keys the request has to say which; a key that has ended counts no longer."""
        self.open(KEYS + f'\n[keys.third]\nsecret = "{OTHER}"\nlegacy = true\nnot-after = 1990-01-01\n')
        self.assertEqual(self.publish(signature=made('x{"n": 1}')).status, 401)
        self.assertEqual(self.publish("third", signature=made('x{"n": 1}', OTHER)).status, 403)
        self.assertEqual(self.publish("old", signature=made('x{"n": 1}')).status, 200)

    def test_subscribe(self) -> None:
        """Key and timestamp signed subscribe, once, within the window."""
        self.open(KEYS)
        at = self.now()
        self.assertEqual(self.subscribe("old", at, made(f"old{at}")), 200)
        self.assertEqual(self.subscribe("old", at, made(f"old{at}")), 409)
        self.assertEqual(self.subscribe("old", at, made(f"new{at}")), 403)
        late = self.now(-301)
        self.assertEqual(self.subscribe("old", late, made(f"old{late}")), 403)
        self.assertEqual(self.subscribe("", at, made(f"old{at}")), 401)
        self.assertEqual(self.subscribe("old", "", made("old")), 401)

    def test_elsewhere(self) -> None:
        """That way of signing is good for these two pages alone."""
        self.open(KEYS)
        words = urlencode({"event": "x", "message": "{}", "signature": made("x{}")})
        self.assertEqual(self.web.ask("GET", f"/t/get?{words}").status, 401)

    def test_noKeys(self) -> None:
        """A bridge without keys that lets in everybody looks at no signature, as the original without a verifier."""
        self.open()
        self.assertEqual(self.publish(signature="whatever").status, 200)

    def test_crossSite(self) -> None:
        """A page of somebody else's cannot make a browser publish, by GET neither."""
        self.open()
        path = f"/publish?{urlencode({'event': 'x', 'message': '{}'})}"
        for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}, {"Origin": "null"}):
            for method in ("GET", "POST"):
                self.assertEqual(self.web.ask(method, path, headers).status, 403)
        self.assertEqual(self.web.ask("GET", path, {"Sec-Fetch-Site": "none"}).status, 200)
        self.assertEqual(self.web.ask("GET", path, {"Host": "evil.example"}).status, 421)

    def test_ended(self) -> None:
        """When the key is withdrawn, what it subscribed to ends."""
        gate = self.open(KEYS)
        at = self.now()
        client = self.web.client()
        words = urlencode({"event": "x", "timestamp": at, "signature": made(f"old{at}")})
        client.ask("GET", f"/subscribe?{words}", {"X-Verify-Key": "old"})
        self.site.until(lambda: bool(client.received))
        self.write(KEYS.replace("legacy = true", "legacy = false"))
        gate.reload()
        self.assertTrue(client.is_closed)
        self.assertEqual(self.publish("old", signature=made('x{"n": 1}')).status, 403)

    def test_granted(self) -> None:
        """Who shows a grant may do over these two pages what that allows, and no more."""
        self.open()
        headers = {"Authorization": f"Bearer {self.token(publish=['a.*'], subscribe=['a.*'])}"}
        for status, path in (
            (200, "/publish?event=a.b&message={}"),
            (403, "/publish?event=b&message={}"),
            (200, "/subscribe?event=a.b"),
            (403, "/subscribe?event=a.b&event=b"),
            (403, "/subscribe?event=>"),
        ):
            self.assertEqual(self.web.ask("GET", path, headers).status, status, path)
        self.site.advance(1)
        self.assertEqual([guest.getSubscriptions() for guest in self.guests], [[]])

    def test_text(self) -> None:
        """What is signed is what was sent, byte for byte; the mark in a file of keys is true or false."""
        shown = Signature("é", '{"a":  1}', "alice", "17")
        self.assertEqual(oldText(b"/publish", shown), 'é{"a":  1}17'.encode())
        self.assertEqual(oldText(b"/subscribe", shown), b"alice17")
        self.assertEqual({name: key.legacy for name, key in readKeys(KEYS, "x", locate).items()}, {"old": True, "new": False})
        self.assertRaises(BadSettings, readKeys, KEYS.replace("true", '"yes"'), "x", locate)
