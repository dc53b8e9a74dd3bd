"""Who is let in by the bridge, as whom."""

from __future__ import annotations

from nodeset import Node, expose
from nodeset.core.grants.chain import Caveat, narrow
from nodeset.errors import StateUnusable
from nodeset.settings import Settings
from nodeset.web.access.agents import IDLE
from nodeset.web.access.nonces import Nonces
from nodeset.web.access.opening import isOpen
from nodeset.web.access.slots import SlotFiles
from tests.gates import SECRET, GateCase

ALICE = f'[keys.alice]\nsecret = "{SECRET}"\n'


class SignatureTests(GateCase):
    def test_signed(self) -> None:
        """A signed request acts as the bridge, under the name of its key."""
        self.open(ALICE)
        answer = self.ask("POST", "/t/act?a=1", self.signed("POST", "/t/act?a=1", b"{}"), b"{}")
        self.assertEqual((answer.status, answer.json()), (200, {"done": "key alice"}))
        self.assertIs(self.acted[0].node, self.bridge.node)
        self.assertFalse(self.acted[0].is_anonymous)

    def test_missing(self) -> None:
        """Where there are keys, a request without a signature is refused, one with half of one too."""
        self.open(ALICE)
        answer = self.ask("POST", "/t/act", {}, b"{}")
        self.assertEqual((answer.status, answer.headers["www-authenticate"]), (401, 'Bearer realm="nodeset"'))
        for name in self.signed("GET", "/t/look"):
            headers = self.signed("GET", "/t/look")
            del headers[name]
            self.assertEqual(self.ask("GET", "/t/look", headers).status, 401, name)
        self.assertEqual(self.acted, [])

    def test_swapped(self) -> None:
        """A signature is for one request: with another event, query, method or body it is wrong."""
        self.open(ALICE)
        headers = self.signed("POST", "/v1/events/orders.created?a=1", b'{"id":1}')
        for method, path, body in (
            ("POST", "/v1/events/orders.paid?a=1", b'{"id":1}'),
            ("POST", "/v1/events/orders.created?a=2", b'{"id":1}'),
            ("POST", "/v1/events/orders.created?a=1", b'{"id":2}'),
            ("POST", "/v1/events/orders.created", b'{"id":1}'),
            ("GET", "/t/look", b""),
        ):
            self.assertEqual(self.ask(method, path, headers, body).status, 403, path)
        self.assertEqual(self.bridge.counters["refused:signature_403"], 5)

    def test_wrong(self) -> None:
        """Who has another secret, or a key that there is not, is told the same."""
        self.open(ALICE)
        one = self.ask("GET", "/t/look", self.signed("GET", "/t/look", secret="z" * 32))
        other = self.ask("GET", "/t/look", self.signed("GET", "/t/look", key="mallory"))
        self.assertEqual((one.status, one.body), (403, other.body))

    def test_replay(self) -> None:
        """The same request again is a conflict, once or a thousand times at once."""
        self.open(ALICE)
        headers = self.signed("POST", "/t/act")
        self.assertEqual(self.ask("POST", "/t/act", headers).status, 200)
        self.assertEqual(self.ask("POST", "/t/act", headers).status, 409)
        headers = self.signed("POST", "/t/act")
        clients = [self.web.client(f"10.0.{number // 250}.{number % 250}") for number in range(1000)]
        for client in clients:
            client.ask("POST", "/t/act", headers)
        statuses = [client.answers()[0].status for client in clients]
        self.assertEqual((statuses.count(200), statuses.count(409)), (1, 999))
        self.assertEqual(len(self.acted), 2)

    def test_skew(self) -> None:
        """A clock that is 299 s off is let in, one that is 301 s off is told how much it is off."""
        self.open(ALICE)
        self.site.advance(400.0)  # so that what is 299 s old was signed after the bridge began
        for off in (299, -299):
            self.assertEqual(self.ask("GET", "/t/look", self.signed("GET", "/t/look", off=off)).status, 200, off)
        for off in (301, -301):
            answer = self.ask("GET", "/t/look", self.signed("GET", "/t/look", off=off))
            self.assertEqual(answer.status, 403)
            self.assertIn("301 s", answer.json()["detail"])

    def test_twice(self) -> None:
        """A header that comes twice is no signature, two kinds of credentials are none."""
        self.open(ALICE)
        client = self.web.client()
        lines = [f"{name}: {value}" for name, value in self.signed("GET", "/t/look").items()]
        client.send("\r\n".join(["GET /t/look HTTP/1.1", "Host: localhost", lines[0], *lines, "", ""]).encode())
        self.assertEqual(client.answers()[0].status, 400)
        both = {**self.signed("GET", "/t/look"), "Authorization": "Bearer g1.a"}
        self.assertEqual(self.ask("GET", "/t/look", both).status, 400)

    def test_full(self) -> None:
        """When no more can be remembered, requests are refused for a while, none is let in unseen."""
        gate = self.open(ALICE)
        assert gate.policy.signers is not None
        ledger = gate.policy.signers.nonces._ledger
        gate.policy.signers.nonces = Nonces(ledger, self.bridge.wall(), 2)
        statuses = [self.ask("GET", "/t/look", self.signed("GET", "/t/look")).status for _ in range(4)]
        self.assertEqual(statuses, [200, 200, 503, 503])

    def test_diskFull(self) -> None:
        """What cannot be remembered is not let in; where it would be kept is nobody's business."""
        self.open(ALICE)

        def fails(*args: object) -> None:
            raise StateUnusable("/var/lib/secret-place is full")

        patched = self.patch(SlotFiles, "write", fails)
        answer = self.ask("GET", "/t/look", self.signed("GET", "/t/look"))
        self.assertEqual((answer.status, answer.headers["retry-after"]), (503, "5"))
        self.assertNotIn("secret-place", answer.json()["detail"])
        patched.restore()
        self.assertEqual(self.ask("GET", "/t/look", self.signed("GET", "/t/look")).status, 200)

    def test_noKeys(self) -> None:
        """Where there are no keys nobody is let in by a signature, rather than as anybody."""
        self.open()
        self.assertEqual(self.ask("GET", "/t/look", self.signed("GET", "/t/look")).status, 403)

    def test_rotated(self) -> None:
        """At a reload new keys count, those that are gone end with all that lives by them; a broken file changes nothing."""
        gate = self.open(ALICE)
        self.ask("GET", "/t/look", self.signed("GET", "/t/look"))
        cut: list[str] = []
        self.acted[0].hold(cut.append)
        bob = f'[keys.bob]\nsecret = "{"b" * 32}"\n'
        self.write(ALICE + bob)
        gate.reload()
        self.write("[keys.alice]\nsecret = 1\n")
        gate.reload()
        for key, secret in (("alice", SECRET), ("bob", "b" * 32)):
            headers = self.signed("GET", "/t/look", key=key, secret=secret)
            self.assertEqual(self.ask("GET", "/t/look", headers).status, 200, key)
        self.assertEqual(cut, [])
        self.write(bob)
        gate.reload()
        self.assertEqual(cut, ["the key by which it was let in was withdrawn"])
        self.assertEqual(self.ask("GET", "/t/look", self.signed("GET", "/t/look")).status, 403)

    def test_ends(self) -> None:
        """A key counts until its last day is over, then ends what lives by it."""
        self.open(f"{ALICE}not-after = 2023-11-14\n")  # the site's day
        self.ask("GET", "/t/look", self.signed("GET", "/t/look"))
        cut: list[str] = []
        self.acted[0].hold(cut.append)
        self.site.advance(2 * 3600.0)  # it is a quarter past ten in the evening
        self.assertEqual(cut, ["the key by which it was let in has ended"])
        self.assertEqual(self.ask("GET", "/t/look", self.signed("GET", "/t/look")).status, 403)

    def test_granted(self) -> None:
        """A key with a grant may do what that allows, and is cut off with it."""
        furl = self.site.grant(publish=["orders.*"])
        self.open(f'{ALICE}grant = "{furl.rpartition("/")[2]}"\n')
        told = self.ask("GET", "/v1/whoami", self.signed("GET", "/v1/whoami")).json()
        self.assertEqual((told["name"], told["publish"], told["call"], told["forms"]), ("key alice", ["orders.*"], [], True))
        headers = self.signed("POST", "/v1/events/secrets.told", b"{}")
        self.assertEqual(self.ask("POST", "/v1/events/secrets.told", headers, b"{}").status, 403)
        self.site.revoke(furl)
        self.site.advance(2.0)
        self.assertEqual(self.ask("GET", "/v1/whoami", self.signed("GET", "/v1/whoami")).status, 401)


class BearerTests(GateCase):
    def test_acts(self) -> None:
        """Who shows a grant acts by a node of its own, within what the dispatcher lets that do."""
        self.open()
        heard = self.site.listen(">")
        token = self.token(publish=["orders.*"])
        publish = {"Authorization": f"Bearer {token}"}
        self.assertEqual(self.ask("POST", "/v1/events/orders.created", publish, b'{"id":1}').status, 200)
        self.assertEqual(self.ask("POST", "/v1/events/secrets.told", publish, b"{}").status, 403)
        self.assertEqual([msg.id for msg in heard.heard], [1])
        self.assertEqual(len(self.guests), 1)

    def test_whole(self) -> None:
        """The whole FURL does as well, if it is of this dispatcher."""
        self.open()
        furl = self.site.grant(publish=["orders.*"])
        self.assertEqual(self.asBearer(furl).status, 200)
        self.assertEqual(self.asBearer(furl.replace("//site", "//elsewhere")).status, 401)

    def test_once(self) -> None:
        """However many requests show a grant at once, one node links for all of them."""
        self.open()
        token = self.token(subscribe=["a"])
        self.site.wire.delay = 0.1
        clients = [self.web.client() for _ in range(20)]
        for client in clients:
            client.ask("GET", "/t/look", {"Authorization": f"Bearer {token}"})
        self.site.advance(2.0)
        self.assertEqual([client.answers()[0].status for client in clients][:10], [200] * 10)
        self.assertEqual(len(self.guests), 1)

    def test_wrong(self) -> None:
        """What is no grant, is damaged, or is of another dispatcher is refused without asking the dispatcher."""
        self.open()
        token = self.token(publish=["a"])
        known = token.split(".")
        for wrong in ("", "x", "g1", "g1.a.b", token[:-4], ".".join([known[0], "AAAAAAAA", *known[2:]]), "g1." + "a" * 5000):
            answer = self.asBearer(wrong)
            self.assertEqual(answer.status, 401, wrong[:20])
            self.assertIn("invalid_token", answer.headers["www-authenticate"])
            self.site.advance(1.0)
        self.assertEqual(self.ask("GET", "/t/look", {"Authorization": "Basic YTpi"}).status, 401)
        self.assertEqual(self.guests, [])

    def test_forged(self) -> None:
        """A grant that the dispatcher did not sign is refused by it; it is not asked again for a while."""
        self.open()
        known = self.token(publish=["a"]).split(".")
        forged = ".".join([*known[:-1], "A" * 43])
        for _ in range(3):
            self.assertEqual(self.asBearer(forged).status, 401)
        self.assertEqual(len(self.guests), 1)
        self.site.advance(40.0)
        self.assertEqual(self.asBearer(forged).status, 401)
        self.assertEqual(len(self.guests), 2)

    def test_expired(self) -> None:
        """A grant that is over is refused, one that ends while something lives by it takes that with it."""
        self.open()
        token = self.token(publish=["a"], expires=30)
        self.assertEqual(self.asBearer(token).status, 200)
        self.asBearer(token, "/t/look")
        cut: list[str] = []
        self.acted[0].hold(cut.append)
        self.site.advance(35.0)
        self.assertEqual(len(cut), 1)
        self.assertEqual(self.asBearer(token).status, 401)

    def test_expiredAlone(self) -> None:
        """It is refused without a dispatcher, too, that would cut it: what the bridge keeps is for others."""
        self.open()
        token = self.token(subscribe=["a"], expires=30)
        self.assertEqual(self.asBearer(token, "/v1/events/a?wait=0").status, 200)
        self.site.killDispatcher()
        self.site.advance(35.0)
        self.assertEqual(self.asBearer(token, "/v1/events/a?wait=0").status, 401)

    def test_revoked(self) -> None:
        """Revoking a grant cuts what lives by it within two seconds, and nobody else."""
        self.open()
        furl, other = self.site.grant(subscribe=["a"]), self.site.grant(subscribe=["b"])
        cut: dict[str, list[str]] = {}
        for each in (furl, other):
            self.asBearer(each, "/t/look")
            self.acted[-1].hold(cut.setdefault(each, []).append)
        self.site.revoke(furl)
        self.site.advance(2.0)
        self.assertEqual((len(cut[furl]), cut[other]), (1, []))
        self.assertIn("revoked", cut[furl][0])
        self.assertEqual((self.asBearer(furl).status, self.asBearer(other).status), (401, 200))

    def test_restart(self) -> None:
        """A dispatcher that restarts costs nobody his place."""
        self.open()
        token = self.token(subscribe=["a"])
        self.asBearer(token, "/t/look")
        cut: list[str] = []
        self.acted[0].hold(cut.append)
        self.site.restartDispatcher()
        self.site.advance(10.0)
        self.assertEqual(cut, [])
        self.assertTrue(self.acted[0].node.is_linked)
        self.assertEqual((self.asBearer(token).status, len(self.guests)), (200, 1))

    def test_noDispatcher(self) -> None:
        """Without a dispatcher a new grant cannot be looked at: try again, it says after five seconds."""
        self.open()
        token = self.token(subscribe=["a"])
        self.site.killDispatcher()
        answer = self.asBearer(token)
        self.assertEqual((answer.status, answer.headers["retry-after"]), (503, "1"))
        self.site.startDispatcher()
        self.site.advance(5.0)
        self.assertEqual(self.asBearer(token).status, 200)

    def test_idle(self) -> None:
        """Who was not seen for a minute leaves, unless something lives by him."""
        gate = self.open()
        held, idle = self.token(subscribe=["a"]), self.token(subscribe=["b"])
        self.asBearer(held, "/t/look")
        release = self.acted[0].hold(lambda reason: None)
        self.asBearer(idle, "/t/look")
        self.site.advance(IDLE + 10)
        self.assertEqual(gate.agents, 1)
        self.assertFalse(self.acted[1].node.running)
        release()
        self.site.advance(IDLE + 10)
        self.assertEqual(gate.agents, 0)
        self.assertEqual(self.asBearer(idle).status, 200)

    def test_room(self) -> None:
        """When all places are taken, who was not seen for half a minute makes room; else there is none for a while."""
        self.bridge.limits = self.bridge.limits.__class__(max_agents=2)
        gate = self.open()
        tokens = [self.token(subscribe=[name]) for name in "abc"]
        self.assertEqual([self.asBearer(token).status for token in tokens], [200, 200, 503])
        self.site.advance(31.0)
        self.assertEqual([self.asBearer(token).status for token in tokens[1:]], [200, 200])
        self.assertEqual(gate.agents, 2)

    def test_share(self) -> None:
        """Who narrows one grant into many takes no place from others: these make room for who has fewer, in use or not."""
        self.bridge.limits = self.bridge.limits.__class__(max_agents=4)
        gate = self.open()
        greedy = self.token(subscribe=["a"])
        many = [narrow(greedy, Caveat(b"%08d" % number)) for number in range(6)]
        for each in many:
            if self.asBearer(each, "/t/look").status == 200:
                self.acted[-1].hold(lambda reason: None)
        self.assertEqual(gate.agents, 4)
        others = [self.token(subscribe=[name]) for name in "bcd"]
        self.assertEqual([self.asBearer(each).status for each in others], [200, 200, 200])
        self.assertEqual(self.asBearer(many[5]).status, 503)
        self.assertEqual([self.asBearer(each).status for each in others], [200, 200, 200])

    def test_narrowed(self) -> None:
        """A grant that its holder narrowed, asking nobody, is shown as what all of its links allow."""
        self.open()
        token = narrow(self.token(publish=["orders.*"], call=["kitchen"]), Caveat(b"12345678", publish=["orders.paid", ">"]))
        told = self.asBearer(token).json()
        self.assertEqual((told["publish"], told["call"], told["subscribe"]), (["orders.paid"], ["kitchen"], []))

    def test_wrongOnes(self) -> None:
        """Who goes on showing wrong grants is told to wait; who has a good one at the same address is not."""
        self.open()
        good = self.token(subscribe=["a"])
        self.assertEqual(self.asBearer(good).status, 200)
        statuses = [self.asBearer(f"g1.bad.{number}").status for number in range(30)]
        self.assertEqual(set(statuses), {401, 429})
        self.assertLess(statuses.count(401), 15)
        self.assertEqual(self.asBearer(good).status, 200)
        self.site.advance(1.0)
        self.assertEqual(self.asBearer("g1.bad.x").status, 401)

    def test_notConfused(self) -> None:
        """A call by a grant without the right is refused by the dispatcher, though the bridge itself may call it."""

        class Kitchen(Node):
            called = 0

            @expose
            def price(self) -> int:
                self.called += 1
                return 3

        self.open()
        kitchen = self.site.node(Kitchen, name="kitchen")
        token = self.token(publish=["a"])
        answer = self.ask("POST", "/v1/calls/kitchen/price", {"Authorization": f"Bearer {token}"}, b"{}")
        self.assertEqual((answer.status, kitchen.called), (403, 0))
        self.assertEqual(self.ask("POST", "/v1/calls/kitchen/price", {}, b"{}").status, 200)


class WhoTests(GateCase):
    def test_narrowBridge(self) -> None:
        """Of a bridge that may do little itself nobody is told that he may do more."""
        self.member = self.site.grant(subscribe=["orders.*"])
        self.open(ALICE)
        self.assertEqual(self.ask("GET", "/v1/whoami", self.signed("GET", "/v1/whoami")).json()["subscribe"], ["orders.*"])

    def test_anonymous(self) -> None:
        """Where nobody need say who he is, he acts as the bridge; there is nothing to publish by on the page."""
        self.open()
        told = self.ask("GET", "/v1/whoami").json()
        self.assertEqual((told["name"], told["anonymous"], told["forms"]), ("anonymous", True, False))

    def test_refused(self) -> None:
        """Where he must, he is refused."""
        self.open(anonymous=False)
        self.assertEqual(self.ask("GET", "/v1/whoami").status, 401)
        self.assertEqual(self.asBearer(self.token(subscribe=["a"])).status, 200)

    def test_where(self) -> None:
        """Without a word about it, only this machine's users are let in without credentials; with keys nobody is."""
        for found, interface, expected in (
            (Settings(), "127.0.0.1", True),
            (Settings(), "::1", True),
            (Settings(), "0.0.0.0", False),
            (Settings(), "", False),
            (Settings(anonymous="allow"), "0.0.0.0", True),
            (Settings(anonymous="refuse"), "127.0.0.1", False),
            (Settings(anonymous="allow", keys="k"), "127.0.0.1", False),
        ):
            self.assertEqual(isOpen(found, interface), expected, (found.anonymous, found.keys, interface))

    def test_open(self) -> None:
        """What is open to everybody asks nobody."""
        self.open(ALICE)
        for path in ("/v1/health", "/openapi.json"):
            self.assertEqual(self.ask("GET", path).status, 200, path)
