"""A bridge with a gate, on a site in memory."""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from nodeset.web.access.agents import Doorway
from nodeset.web.access.gate import Gate, Policy
from nodeset.web.access.hosts import Hosts
from nodeset.web.access.keyfile import KeyFile
from nodeset.web.access.nonces import Nonces
from nodeset.web.access.origins import Origins
from nodeset.web.access.signers import Signers
from nodeset.web.access.slots import SlotFiles
from nodeset.web.agent import Agent
from nodeset.web.bridge_node import BridgeNode
from nodeset.web.door import Door
from nodeset.web.inquiry import Inquiry, Reply
from nodeset.web.sign import sign
from tests.webs import Answer, WebSite

__all__ = ["SECRET", "GateCase"]

SECRET = "0123456789abcdef0123456789abcdef"


class GateCase(SynchronousTestCase):
    """Asks a bridge that has a gate; `limits` are those of `Limits`.

    :ivar member: the FURL of the bridge itself, as the gate is told.
    :ivar acted: on whose behalf endpoints were called.
    """

    limits: dict[str, Any] = {}

    def setUp(self) -> None:
        self.web = WebSite(self, **self.limits)
        self.site, self.bridge = self.web.site, self.web.bridge
        self.bridge.wall = self.site.wall
        self.site.advance(10.0)
        self.member = self.site.member
        self.acted: list[Agent] = []
        self.guests: list[BridgeNode] = []
        self.file = Path(self.mktemp()).absolute()
        door = self.web.http.entrance
        assert isinstance(door, Door)

        async def act(inquiry: Inquiry) -> Reply:
            self.acted.append(inquiry.agent)
            return Reply.json({"done": inquiry.agent.name})

        door.routes.add("POST", "/t/act", act, "act")
        door.routes.add("GET", "/t/get", act, "get", changes=True)
        door.routes.add("GET", "/t/look", act, "look")
        door.routes.add("GET", "/t/stream/{pattern}", act, "stream")

    def open(self, keys: str | None = None, **policy: Any) -> Gate:
        """Put a gate before the bridge, with this text as its file of keys if there is one."""
        signers = None
        if keys is not None:
            self.write(keys)
            files = SlotFiles(Path(self.mktemp()), self.bridge.wall(), "1a")
            signers = Signers(KeyFile(self.file), Nonces(files, self.bridge.wall()), files)
        origins = Origins(policy.pop("origins", ()))
        hosts = Hosts(policy.pop("interface", "127.0.0.1"), policy.pop("hosts", ()))
        gate = Gate(self.bridge, Policy(origins, hosts, signers, **policy), Doorway(lambda: self.member, self._nodeFor))
        self.bridge.access = gate
        gate.setServiceParent(self.bridge)
        return gate

    def _nodeFor(self, name: str) -> BridgeNode:
        node = self.site.node(BridgeNode, name="guest", start=False, grant=f"memory://site/{name}")
        self.guests.append(node)
        return node

    def write(self, keys: str) -> None:
        """Replace the file of keys."""
        self.file.write_text(keys, "utf-8")
        self.file.chmod(0o600)

    def token(self, **what: Any) -> str:
        """The part of a grant that goes into Authorization."""
        return self.site.grant(**what).rpartition("/")[2]

    def signed(
        self,
        method: str,
        target: str,
        body: bytes = b"",
        *,
        key: str = "alice",
        secret: str = SECRET,
        off: float = 0,
        nonce: str | None = None,
    ) -> dict[str, str]:
        """The headers of a request that is signed now, by a clock that is `off` seconds off."""
        at = int(self.bridge.wall() + off)
        return sign(key, secret, method, target, body, timestamp=at, nonce=nonce or secrets.token_urlsafe(16))

    def ask(self, method: str, path: str, headers: dict[str, str] | None = None, body: bytes = b"") -> Answer:
        """One request of a connection of its own; an error is a problem that names nothing secret."""
        given = {"Content-Type": "application/json"} if body else {}
        answer = self.web.ask(method, path, {**given, **(headers or {})}, body)
        if answer.status >= 400:
            self.assertEqual(answer.headers["content-type"], "application/problem+json")
            self.assertEqual(json.loads(answer.body)["status"], answer.status)
            for name in ("x-verify-signature", "Authorization"):
                if headers and name in headers and len(headers[name]) > 20:
                    self.assertNotIn(headers[name].removeprefix("Bearer ").encode(), answer.body)
        return answer

    def asBearer(self, token: str, path: str = "/v1/whoami", method: str = "GET") -> Answer:
        """One request that shows this grant."""
        return self.ask(method, path, {"Authorization": f"Bearer {token}"})
