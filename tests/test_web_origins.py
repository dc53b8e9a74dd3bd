"""Pages, names, tickets, rates: who else could use a bridge."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from nodeset.errors import BadSettings
from nodeset.web.access.hosts import Hosts, isLoopback
from nodeset.web.access.origins import Origins
from nodeset.web.access.rates import Rates, groupOf
from nodeset.web.access.tickets import LIFETIME, NoRoom, Tickets
from tests.gates import SECRET, GateCase

SHOP = "https://shop.example"
EVIL = "http://evil.example"
UPGRADE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


class PageTests(GateCase):
    def test_off(self) -> None:
        """No page of another origin is told anything unless it is listed; nothing is said of origins at all then."""
        self.open()
        answer = self.ask("GET", "/t/look", {"Origin": EVIL})
        self.assertEqual([name for name in answer.headers if name.startswith(("access-control", "vary"))], [])
        told = self.ask("OPTIONS", "/t/act", {"Origin": EVIL, "Access-Control-Request-Method": "POST"})
        self.assertEqual((told.status, told.headers.get("access-control-allow-origin")), (204, None))

    def test_listed(self) -> None:
        """A page that is listed may send what it likes, and read the answer; the browser's credentials are never asked for."""
        self.open(origins=[SHOP])
        asked = {"Origin": SHOP, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
        told = self.ask("OPTIONS", "/t/act", asked)
        self.assertEqual((told.status, told.headers["access-control-allow-origin"]), (204, SHOP))
        self.assertEqual(told.headers["access-control-allow-methods"], "OPTIONS, POST")
        self.assertIn("authorization", told.headers["access-control-allow-headers"].lower())
        answer = self.ask("POST", "/t/act", {"Origin": SHOP}, b"{}")
        self.assertEqual((answer.status, answer.headers["access-control-allow-origin"]), (200, SHOP))
        self.assertEqual((answer.headers["vary"], answer.headers.get("access-control-allow-credentials")), ("Origin", None))
        for origin in (EVIL, "null", f"{SHOP}.evil.example", "https://shop.example:444", "http://shop.example", "*"):
            answer = self.ask("GET", "/t/look", {"Origin": origin})
            self.assertEqual((answer.headers["vary"], answer.headers.get("access-control-allow-origin")), ("Origin", None))

    def test_errors(self) -> None:
        """A page that is listed may read why it was refused, too."""
        self.open(origins=[SHOP], anonymous=False)
        answer = self.ask("GET", "/t/look", {"Origin": SHOP})
        self.assertEqual((answer.status, answer.headers["access-control-allow-origin"]), (401, SHOP))

    def test_forged(self) -> None:
        """A foreign page cannot make its reader's browser do anything here, by POST, by an image, by a form."""
        self.open()
        for headers in (
            {"Origin": EVIL},
            {"Origin": "null"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
        ):
            for method, path in (("POST", "/t/act"), ("GET", "/t/get"), ("GET", "/publish?event=a&message=%7B%7D")):
                self.assertEqual(self.ask(method, path, headers).status, 403, (headers, path))
        self.assertEqual(self.acted, [])
        for headers in ({}, {"Origin": "http://localhost:8080"}, {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}):
            self.assertEqual(self.ask("GET", "/t/get", headers).status, 200, headers)

    def test_shown(self) -> None:
        """Who shows credentials may, wherever the page is from: no browser adds those by itself."""
        self.open(f'[keys.alice]\nsecret = "{SECRET}"\n')
        headers = {**self.signed("POST", "/t/act"), "Origin": EVIL}
        self.assertEqual(self.ask("POST", "/t/act", headers).status, 200)

    def test_sockets(self) -> None:
        """A foreign page cannot open a WebSocket, which no browser keeps it from, not with a ticket either."""
        gate = self.open()
        ticket, _ends = gate.issue(self.bridge.own, None)
        for path in ("/t/look", f"/t/look?ticket={ticket}"):
            self.assertEqual(self.ask("GET", path, {**UPGRADE, "Origin": EVIL}).status, 403)
            self.assertEqual(self.ask("GET", path, {**UPGRADE, "origin": EVIL, "Origin": "http://localhost:8080"}).status, 403)
        self.assertEqual(self.ask("GET", "/t/look", {**UPGRADE, "Origin": "http://localhost:8080"}).status, 200)
        self.assertEqual(self.ask("GET", "/t/look", UPGRADE).status, 200)

    def test_rebound(self) -> None:
        """A name that was made to mean 127.0.0.1 is not ours."""
        self.open()
        for host in (
            "evil.example",
            "evil.example:8080",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "a b",
            "",
            "[::1",
        ):
            self.assertEqual(self.ask("GET", "/t/look", {"Host": host}).status, 421, host)
            self.assertEqual(self.ask("OPTIONS", "/t/look", {"Host": host}).status, 421, host)
        for host in ("localhost", "LOCALHOST:1", "127.0.0.1:8080", "127.1.2.3", "[::1]:8080", "bus.localhost", "localhost."):
            self.assertEqual(self.ask("GET", "/t/look", {"Host": host}).status, 200, host)

    def test_named(self) -> None:
        """A bridge behind a proxy has the names that it is given, and those of its interface."""
        self.open(hosts=["bridge.example"])
        statuses = [
            self.ask("GET", "/t/look", {"Host": host}).status for host in ("bridge.example", "localhost", "evil.example")
        ]
        self.assertEqual(statuses, [200, 200, 421])


class TicketTests(GateCase):
    def ticket(self, path: str | None = None, **headers: str) -> str:
        """One that was asked for."""
        body = b"" if path is None else b'{"path": "%s"}' % path.encode()
        answer = self.ask("POST", "/v1/tickets", headers, body)
        self.assertEqual(answer.status, 201)
        self.assertAlmostEqual(answer.json()["expires"], self.bridge.wall() + LIFETIME, delta=1.0)
        ticket: str = answer.json()["ticket"]
        return ticket

    def test_once(self) -> None:
        """A ticket opens one stream as whoever got it, once."""
        self.open(anonymous=False)
        token = self.token(subscribe=["a"])
        ticket = self.ticket(Authorization=f"Bearer {token}")
        self.assertEqual(self.ask("GET", f"/t/look?ticket={ticket}").status, 200)
        self.assertTrue(self.acted[0].name.startswith("grant "))
        self.assertEqual(self.ask("GET", f"/t/look?ticket={ticket}").status, 401)
        self.assertEqual(self.ask("GET", "/t/look?ticket=").status, 401)

    def test_late(self) -> None:
        """After a minute it is good for nothing."""
        self.open()
        ticket = self.ticket()
        self.site.advance(LIFETIME + 1)
        self.assertEqual(self.ask("GET", f"/t/look?ticket={ticket}").status, 401)

    def test_path(self) -> None:
        """One for a path is good for that alone, however it is spelt, and is used up by a try elsewhere."""
        self.open()
        ticket = self.ticket("/t/stream/orders.%2A")
        self.assertEqual(self.ask("GET", f"/t/stream/orders.%2a?x=1&ticket={ticket}").status, 200)
        ticket = self.ticket("/t/stream/orders.%2A")
        self.assertEqual(self.ask("GET", f"/t/stream/secrets?ticket={ticket}").status, 401)
        self.assertEqual(self.ask("GET", f"/t/stream/orders.%2A?ticket={ticket}").status, 401)

    def test_forStreams(self) -> None:
        """It opens streams, nothing else: what changes anything needs the grant itself."""
        self.open()
        self.assertEqual(self.ask("POST", f"/t/act?ticket={self.ticket()}", {}, b"{}").status, 403)
        self.assertEqual(self.ask("GET", f"/t/get?ticket={self.ticket()}").status, 403)
        self.assertEqual(self.ask("GET", f"/publish?event=a&message=%7b%7d&ticket={self.ticket()}").status, 403)
        self.assertEqual(self.acted, [])

    def test_revoked(self) -> None:
        """It ends with the grant of who got it."""
        self.open(anonymous=False)
        furl = self.site.grant(subscribe=["a"])
        ticket = self.ticket(Authorization=f"Bearer {furl}")
        self.site.revoke(furl)
        self.site.advance(2.0)
        self.assertEqual(self.ask("GET", f"/t/look?ticket={ticket}").status, 401)

    def test_wrong(self) -> None:
        """What is no path is no path."""
        self.open()
        for body in (b"[]", b'{"path": 1}', b'{"path": "x"}', b'{"path": "/a?b"}', b'{"path": "/%"}', b'{"pth": "/"}', b"{"):
            self.assertEqual(self.ask("POST", "/v1/tickets", {}, body).status, 400, body)

    def test_bounded(self) -> None:
        """Nobody can have more out than a thousand; when they are used or over, there are more."""
        tickets: Tickets[str] = Tickets(most=5, most_each=3)
        out = [tickets.issue("alice", None, 0.0) for _ in range(3)]
        self.assertRaises(NoRoom, tickets.issue, "alice", None, 0.0)
        tickets.issue("bob", None, 0.0)
        tickets.issue("bob", None, 0.0)
        self.assertRaises(NoRoom, tickets.issue, "carol", None, 0.0)
        self.assertEqual(tickets.redeem(out[0], "/", 1.0), "alice")
        tickets.issue("carol", None, 1.0)
        tickets.issue("alice", None, LIFETIME)
        self.assertEqual(len(tickets), 2)


class RateTests(GateCase):
    def test_streams(self) -> None:
        """One address opens ten streams a second; others are not held up by it, nor are its other requests."""
        self.open()
        stream = {"Accept": "text/event-stream"}

        def statuses(address: str, count: int, headers: dict[str, str]) -> list[int]:
            clients = [self.web.client(address) for _ in range(count)]
            for client in clients:
                client.ask("GET", "/t/stream/a", headers)
            return [client.answers()[0].status for client in clients]

        self.assertEqual(statuses("10.0.0.1", 12, stream), [200] * 10 + [429] * 2)
        self.assertEqual(statuses("10.0.0.2", 1, stream), [200])
        self.assertEqual(statuses("10.0.0.1", 50, {}), [200] * 50)
        self.site.advance(0.5)
        self.assertEqual(statuses("10.0.0.1", 6, stream), [200] * 5 + [429])
        self.assertEqual(self.bridge.counters["refused:stream_rate"], 3)

    def test_retryAfter(self) -> None:
        """Who is too quick is told when to come back."""
        self.bridge.limits = self.bridge.limits.__class__(stream_rate=0.2)
        self.open()
        stream = {"Accept": "text/event-stream"}
        self.assertEqual(self.ask("GET", "/t/stream/a", stream).status, 200)
        answer = self.ask("GET", "/t/stream/a", stream)
        self.assertEqual(answer.status, 429)
        self.assertIn(answer.headers["retry-after"], ("4", "5"))
        self.site.advance(float(answer.headers["retry-after"]))
        self.assertEqual(self.ask("GET", "/t/stream/a", stream).status, 200)


class PureTests(SynchronousTestCase):
    def test_buckets(self) -> None:
        """The table stays small; who floods it from many addresses shares one bucket, and washes nobody's away."""
        rates = Rates(10.0, most=100)
        for _ in range(10):
            rates.take("victim", 0.0)
        for number in range(99):
            self.assertEqual(rates.take(f"10.1.0.{number}", 0.0), 0.0)
        crowd = [rates.take(f"10.2.0.{number}", 0.0) for number in range(100)]
        self.assertEqual(crowd.count(0.0), 10)
        self.assertLessEqual(len(rates), 101)
        self.assertGreater(rates.take("victim", 0.0), 0.0)
        self.assertEqual(rates.take("10.3.0.1", 100.0), 0.0)
        self.assertLessEqual(len(rates), 101)

    def test_groups(self) -> None:
        """A subscriber of IPv6 has one bucket for all of its addresses; one of IPv4 is the same in both spellings."""
        self.assertEqual(groupOf("2001:db8::1"), groupOf("2001:db8::ffff:2"))
        self.assertNotEqual(groupOf("2001:db8::1"), groupOf("2001:db8:0:1::1"))
        self.assertEqual(groupOf("::ffff:10.0.0.1"), "10.0.0.1")
        self.assertEqual((groupOf(""), groupOf("fe80::1%eth0"), groupOf("x" * 99)), ("", "fe80::/64", "x" * 64))

    def test_clockBack(self) -> None:
        """A clock that stands still gives nothing, one that goes back takes nothing."""
        rates = Rates(1.0)
        self.assertEqual(rates.take("a", 10.0), 0.0)
        self.assertEqual(rates.take("a", 9.0), 1.0)
        self.assertEqual(rates.take("a", 10.5), 0.5)

    def test_origins(self) -> None:
        """What is no origin cannot be listed: least of all everybody."""
        for wrong in ("*", "null", "shop.example", "https://shop.example/", "https://*.example", "ftp://a", "https://a b", ""):
            self.assertRaises(BadSettings, Origins, [wrong])
        self.assertTrue(Origins(["HTTPS://Shop.example:443"]).isListed("https://shop.example"))
        self.assertFalse(Origins(["https://shop.example"]).isListed("https://shop.example:443/"))

    def test_ours(self) -> None:
        """A page is ours when its host is the one that was asked, behind a proxy that ends TLS as well."""
        ours = Origins().isOurs
        self.assertTrue(ours("http://a:8080", "a:8080") and ours("https://a", "a") and ours("http://[::1]:1", "[::1]:1"))
        self.assertFalse(ours("http://a:8080", "a") or ours("http://b", "a") or ours(None, "a") or ours("http://a", None))

    def test_hosts(self) -> None:
        """On an interface that others reach any name will do until they are listed."""
        self.assertTrue(Hosts("0.0.0.0").mayBe("bridge.example"))
        self.assertFalse(Hosts("0.0.0.0", ["bridge.example"]).mayBe("evil.example"))
        self.assertTrue(Hosts("127.0.0.1", ["*"]).mayBe("evil.example"))
        self.assertTrue(Hosts("127.0.0.1").mayBe(None))
        self.assertTrue(Hosts("10.0.0.5", ["a"]).mayBe("10.0.0.5:80"))
        for wrong in ("a:80", "a b", "http://a", ""):
            self.assertRaises(BadSettings, Hosts, "127.0.0.1", [wrong])

    def test_loopback(self) -> None:
        """Only what this machine alone can reach is loopback."""
        self.assertTrue(all(map(isLoopback, ("localhost", "127.0.0.1", "127.9.9.9", "::1", "[::1]"))))
        self.assertFalse(any(map(isLoopback, ("", "0.0.0.0", "::", "10.0.0.1", "localhost.example", "eth0"))))
