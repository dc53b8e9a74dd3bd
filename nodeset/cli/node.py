"""The command `nodeset-node`, which shows events or publishes one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import simplejson
from twisted.python.usage import UsageError

from nodeset.cli.options import CommonOptions, twistdOptions
from nodeset.cli.service import Daemon, prepare
from nodeset.errors import BadSettings, PortTaken
from nodeset.settings import Settings

__all__ = ["Options", "main", "makeService"]

_NAME = "nodeset-node"
_EVENT = "simple_event"
#: Which option needs which word.
_NEEDS = {"count": ("subscriber",), "payload": ("publisher",), "once": ("publisher",), "event": ("subscriber", "publisher")}


class Options(CommonOptions):
    """The options of `nodeset-node`."""

    synopsis = "Usage: nodeset-node [subscriber|publisher] [options]"
    longdesc = (
        "A node that is there. As 'subscriber' it prints each event as a line, its payload as JSON; as 'publisher' it publishes"
        " one event once it is linked, prints the receipt, keeps running. Without -n it becomes a daemon."
    )
    example = (
        "  nodeset-node -n subscriber --event 'orders.*'\n"
        """  nodeset-node -n publisher --event orders.created --payload '{"number": 3}' --once\n"""
        "  twistd -n nodeset-node subscriber --event orders.created --count 10\n"
    )

    optFlags = [["once", None, "publisher: end when the event was delivered, with exit code 1 if it was not"]]
    optParameters = [
        [
            "dispatcher-url",
            None,
            None,
            "Where the dispatcher is: pbu://host:port/ref, a file with its FURL (@FILE, file:PATH), or the FURL itself, "
            "which every user of this machine can then see [default: $NODESET_DISPATCHER, or pbu://localhost:5333/dispatcher]",
        ],
        ["listen", None, None, "Where to listen for direct peers [default: localhost:5444, or any free port]"],
        ["identity", None, None, "The file with this node's certificate, made if missing [default: a fresh one each time]"],
        ["name", None, None, "The label in addresses that means this node [default: a random one]"],
        ["host", None, None, "The host name in addresses that means this node [default: localhost]"],
        ["site", None, None, "Does nothing for a node; see --host."],
        ["publish-timeout", None, None, "Seconds that a publish may take [default: 60]"],
        ["event", None, None, f"subscriber, publisher: the event's name, for a subscriber also a pattern [default: {_EVENT}]"],
        ["payload", None, None, "publisher: a JSON object, whose members become the fields, or a text for the field 'payload'"],
        ["count", None, None, "subscriber: end after this many events"],
    ]

    #: `subscriber`, `publisher` or nothing.
    role = ""

    def readWords(self, words: list[str]) -> None:
        """Take the role."""
        if words and words[0] in ("subscriber", "publisher"):
            self.role = words.pop(0)
        super().readWords(words)
        for name, roles in _NEEDS.items():
            if self[name] and self.role not in roles:
                raise UsageError(f"--{name} needs the word {' or '.join(roles)}, as in nodeset-node {roles[0]} --{name} ...")
        count = self["count"]
        if count is not None and not (count.isascii() and count.isdigit() and len(count) <= 12 and int(count) > 0):
            raise UsageError(f"--count {count[:40]!r} is no number of events: give 1 or more")


def readPayload(text: str | None) -> dict[str, Any]:
    """The fields that `--payload` says: a JSON object's own, else one field `payload` with the text."""
    if text is None:
        return {}
    try:
        found = simplejson.loads(text)
    except (ValueError, RecursionError):
        found = None
    return found if isinstance(found, dict) else {"payload": text}


def makeService(options: Options) -> Daemon:
    """The node with these options. What is wrong with them ends the process, with one line on stderr."""
    is_script = twistdOptions(options) is options

    def build(found: Settings, twistd: Mapping[str, Any], reactor: Any) -> Daemon:
        return _build(options, found, twistd, reactor, is_script)

    return prepare(_NAME, options, build)


def _build(options: Options, found: Settings, twistd: Mapping[str, Any], reactor: Any, is_script: bool) -> Daemon:
    from nodeset.cli.roles import Present, Publisher, Subscriber
    from nodeset.core.address import checkPattern, isPattern, parse
    from nodeset.core.message import MessageBuilder
    from nodeset.errors import LocalError, NotThere
    from nodeset.transport.rendezvous import find, lockIdentity, stateDirectory
    from nodeset.transport.tub import TubTransport

    source = find(
        None,
        found.dispatcher_url,
        option_is_default="dispatcher_url" not in found.given,
        environ=os.environ,
        state_directory=stateDirectory(os.environ, found.state_dir),
    )
    try:
        source.read()
    except NotThere:
        pass  # it may start later
    event = options["event"] or _EVENT
    fields = readPayload(options["payload"])
    try:
        if options.role == "publisher":
            if isPattern(parse(event).eventName):
                raise BadSettings(f"{event[:80]!r} is a pattern: one event is published to one name")
            MessageBuilder.createMessage(None, **fields)
        else:
            checkPattern(event)
    except LocalError as error:
        raise BadSettings(f"--event or --payload: {error}") from None
    identity = Path(found.identity).expanduser().absolute() if found.identity else None
    if identity is not None:
        # A look only: the transport takes it for good, once we are the process that keeps it.
        lockIdentity(identity)[1]()
    daemon = Daemon(_NAME, found, twistd, reactor, is_script)
    if source.warning:
        daemon.log.warn("{warning}", warning=source.warning)
    transport = TubTransport(source, reactor, _listen(reactor, found), identity)
    node: Present
    about: Any = {"name": found.name, "host": found.host, "settings": found, "transport": transport, "clock": reactor}
    if options.role == "subscriber":
        node = Subscriber(daemon.end, event, int(options["count"] or 0), **about)
    elif options.role == "publisher":
        node = Publisher(daemon.end, event, fields, bool(options["once"]), **about)
    else:
        node = Present(daemon.end, **about)
    node.setServiceParent(daemon)
    return daemon


def _listen(reactor: Any, found: Settings) -> str:
    """The endpoint to listen on, any free port if nobody named one that is taken."""
    from nodeset.cli.listen import checkEndpoint, probe, readListen

    listening = readListen(found.listen)
    checkEndpoint(reactor, listening.endpoint)
    try:
        probe(listening)
    except PortTaken:
        if not found.listensByDefault():
            raise
        return readListen("localhost:0").endpoint
    return listening.endpoint


def main() -> None:
    """Run as a console script."""
    from nodeset.cli.runner import run

    run(_NAME, Options, makeService)
