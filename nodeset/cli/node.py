"""The command `nodeset-node`, which shows events or publishes one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import attrs
from twisted.python.usage import UsageError

from nodeset.cli.identity import findIdentity
from nodeset.cli.logs import isInFront, isLogChosen
from nodeset.cli.options import CommonOptions, flagsOf, parametersOf, twistdOptions
from nodeset.cli.payload import makeMessage
from nodeset.cli.service import Daemon, naming, prepare
from nodeset.core.address import checkPattern, isPattern, parse
from nodeset.errors import BadSettings, InvalidAddressing, NotThere
from nodeset.settings import DEFAULT_LISTEN, Settings
from nodeset.settings.schema import NODE

__all__ = ["Options", "chooseEndpoints", "main", "makeService"]

_NAME = "nodeset-node"
_EVENT = "simple_event"
#: Which option needs which word.
_ROLES = ("subscriber", "publisher")
_NEEDS = {
    "count": ("subscriber",),
    "payload": ("publisher",),
    "once": ("publisher",),
    "publish-timeout": ("publisher",),
    "event": _ROLES,
}


class Options(CommonOptions):
    """The options of `nodeset-node`."""

    synopsis = "Usage: nodeset-node [subscriber|publisher] [options]"
    longdesc = (
        "A node that is there. As 'subscriber' it prints each event as a line, its payload as JSON; as 'publisher' it publishes"
        " one event once it is linked, prints the receipt, keeps running. Both log to stderr."
    )
    daemon = "Without -n it becomes a daemon; one with a role then needs --logfile, where its lines go."
    example = (
        "  nodeset-node -n subscriber --event 'orders.*'\n"
        """  nodeset-node -n publisher --event orders.created --payload '{"number": 3}' --once\n"""
        "  twistd -n nodeset-node subscriber --event orders.created --count 10\n"
    )

    optFlags = flagsOf(NODE)
    optParameters = [*parametersOf(NODE), ["site", None, None, "See --host."]]

    idle = (*CommonOptions.idle, "site")
    meaningful = _ROLES

    #: `subscriber`, `publisher` or nothing.
    role = ""

    def foresee(self, words: list[str]) -> None:
        """Know the role before `--help` is met."""
        self.role = words[0] if words and words[0] in _ROLES else ""

    def isShown(self, option: str) -> bool:
        """Leave out what is for the other role."""
        return super().isShown(option) and (not self.role or self.role in _NEEDS.get(option, _ROLES))

    def readWords(self, words: list[str]) -> None:
        """Take the role."""
        super().readWords(words[1:] if self.role else words)
        for name, roles in _NEEDS.items():
            if self[name] not in (None, 0) and self.role not in roles and name != "publish-timeout":
                raise UsageError(f"--{name} needs the word {' or '.join(roles)}, as in nodeset-node {roles[0]} --{name} ...")
        for name in ("event", "payload"):
            if self[name] == "":
                raise UsageError(
                    f"--{name} is empty: give {'a name' if name == 'event' else 'a JSON object or a text'}, or leave it out"
                )


def makeService(options: Options) -> Daemon:
    """The node with these options. What is wrong with them ends the process, with one line on stderr."""
    is_script = twistdOptions(options) is options

    def build(found: Settings, twistd: Mapping[str, Any], reactor: Any) -> Daemon:
        return _build(options, found, twistd, reactor, is_script)

    return prepare(_NAME, options, build)


def _build(options: Options, found: Settings, twistd: Mapping[str, Any], reactor: Any, is_script: bool) -> Daemon:
    from nodeset.cli.roles import Present, Publisher, Subscriber
    from nodeset.transport.default import findSource
    from nodeset.transport.rendezvous import isFixed
    from nodeset.transport.tub import TubTransport

    event = _checkRole(options.role, found, twistd)
    source = findSource(found, os.environ)
    try:
        source.read()
    except NotThere:
        pass  # it may start later
    identity = findIdentity(found)
    if options.role == "publisher" and found.once and found.isDefault("loglevel"):
        found = attrs.evolve(found, loglevel="crit")
    daemon = Daemon(_NAME, found, twistd, reactor, is_script, prints=bool(options.role))
    if source.warning:
        daemon.log.warn("{warning}", warning=source.warning)
    transport = TubTransport(source, reactor, chooseEndpoints(reactor, found), identity, found.host)
    node: Present
    about: Any = {"name": found.name, "host": found.host, "settings": found, "transport": transport, "clock": reactor}
    about |= {"end": daemon.end, "fixed": isFixed(source)}
    if options.role == "subscriber":
        node = Subscriber(say=daemon.say, event=event, wanted=found.count or 0, **about)
    elif options.role == "publisher":
        msg = makeMessage(found.payload)
        node = Publisher(say=daemon.say, event=event, msg=msg, once=found.once, **about)
    else:
        node = Present(**about)
    node.setServiceParent(daemon)
    daemon.reload.takers.append(node.adjust)
    return daemon


def _checkRole(role: str, found: Settings, twistd: Mapping[str, Any]) -> str:
    """The event. BadSettings for one that cannot be, a payload that cannot be sent, a daemon that would print to nobody."""
    event = found.event or _EVENT
    if role and not isInFront(twistd) and not isLogChosen(twistd):
        what = "events" if role == "subscriber" else "receipt"
        raise BadSettings(f"{role} prints its {what}: give -n, or --logfile for a daemon")
    try:
        if role != "publisher":
            checkPattern(event)
        elif isPattern(parse(event).eventName):
            raise BadSettings(f"{event[:80]!r} is a pattern: one event is published to one name")
    except (InvalidAddressing, BadSettings) as error:
        raise BadSettings(f"{found.origins.get('event', '--event')}: {error}") from None
    if role == "publisher":
        with naming(found, "payload"):
            makeMessage(found.payload)
    return event


def chooseEndpoints(reactor: Any, found: Settings, usual: str = DEFAULT_LISTEN) -> tuple[str, ...]:
    """Where to listen: where the user said, and nowhere else; else where is `usual`, or on any free port when that is taken.

    Raises PortTaken now if what the user said is taken.
    """
    from nodeset.cli.listen import checkEndpoint, probe, readListen

    listening = readListen(usual if found.listensByDefault() else found.listen, advertises=False)
    checkEndpoint(reactor, listening.endpoint)
    if found.listensByDefault():
        # Another node may take the default until we listen, so nobody looks before.
        return listening.endpoint, readListen("localhost:0").endpoint
    probe(listening)
    return (listening.endpoint,)


def main(in_front: bool = False) -> None:
    """Run as a console script; `in_front` as the sub-command of `nodeset`, which never becomes a daemon."""
    from nodeset.cli.runner import run

    run(_NAME, Options, makeService, in_front)
