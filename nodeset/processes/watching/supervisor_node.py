"""The node by which a supervisor is on the bus."""

from __future__ import annotations

from typing import Any

from nodeset.core.calls.expose import expose
from nodeset.core.node import Node
from nodeset.core.utils import catch
from nodeset.processes.events import CENTERS, CenterHere
from nodeset.processes.starting.warden import Warden
from nodeset.processes.watching.announcements import Announcements
from nodeset.processes.watching.sampling import Sampling
from nodeset.processes.watching.supervisor import Supervisor

__all__ = ["SupervisorNode"]


class SupervisorNode(Node):
    """Tells how its programs are whenever somebody comes who may not know: a dispatcher, a center.

    :ivar supervisor: set before the node is started.
    """

    supervisor: Supervisor
    sampling: Sampling
    warden: Warden

    def __init__(self, **about: Any) -> None:
        super().__init__(**about)
        self._centers = Announcements(self.clock, lambda name: self.supervisor.tellAll(name))

    def linkOpened(self) -> None:
        """Tell all states, then figures as long as the link is open."""
        super().linkOpened()
        self.sampling.resume()
        self.supervisor.tellAll()

    def linkLost(self, reason: str) -> None:
        """Nobody can be told figures."""
        super().linkLost(reason)
        self._centers.forget()
        self.sampling.pause()
        self.supervisor.rest()

    @catch(CENTERS)
    def centerHere(self, msg: CenterHere) -> None:
        """A center has come, again perhaps."""
        self._centers.hear(msg)

    @expose
    def ps(self) -> list[dict[str, Any]]:
        """All programs, each as in its `state` events."""
        return self.supervisor.rows()

    @expose
    def figures(self) -> dict[str, float]:
        """How many programs are in which state; `guardian_rss` in bytes, what else there is to count."""
        found: dict[str, float] = dict(self.supervisor.figures())
        found |= {f"guardian_{name}": number for name, number in self.warden.figures().items()}
        return found | {f"stats_{name}": number for name, number in self.sampling.figures().items()}
