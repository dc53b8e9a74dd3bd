"""What a check found, judged from what was measured."""

from __future__ import annotations

import stat
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Final

import attrs

from nodeset.cli.share.meaning import Meaning, when
from nodeset.cli.shown import printable
from nodeset.core.limits import VERSION
from nodeset.version import __version__

__all__ = [
    "Finding",
    "Verdict",
    "clockOf",
    "descriptorsOf",
    "dropsOf",
    "extrasOf",
    "fileOf",
    "grantOf",
    "limitsOf",
    "loopOf",
    "memoryOf",
    "number",
    "roundTripOf",
    "settingsOf",
    "softwareOf",
    "stateOf",
    "versionOf",
]

#: No figure of ours is larger; NaN is not either.
_MOST: Final = 2**63
#: Seconds that two clocks may differ before grants end at the wrong time for somebody who looks.
_APART: Final = 2.0
#: A grant that ends within this many seconds is worth a word.
_SOON: Final = 86400.0
#: Round trips over this many seconds are felt by who waits for a call.
_SLOW: Final = 0.25
#: Seconds for which a dispatcher may do nothing else before its nodes notice.
_LATE: Final = 0.5
#: The part of its descriptors that a dispatcher should not use up.
_FULL: Final = 0.8
#: Why events were dropped that no queue was too short for; what to do about all others.
_QUEUELESS: Final = {
    "lost": "their nodes left, or stood still: look why into the dispatcher's log",
    "expired": "their time to live was over: make it longer, or let nodes handle faster",
}
_FULL_QUEUE: Final = "nodeset nodes shows whose queue is full: let it handle faster"
#: With fewer files than this a process of ours is short of them soon.
_FEW: Final = 256


class Verdict(StrEnum):
    """How a check went."""

    FINE = "fine"
    WARNING = "warning"
    FAILED = "failed"
    #: It could not be made, or its figures are not there.
    SKIPPED = "skipped"


@attrs.frozen
class Finding:
    """One line of `nodeset doctor`.

    :ivar told: what is so.
    :ivar todo: what to do about it, empty when nothing is wrong.
    """

    check: str
    verdict: Verdict
    told: str
    todo: str = ""


def _fine(check: str, told: str) -> Finding:
    return Finding(check, Verdict.FINE, told)


def number(figures: Mapping[str, Any], name: str) -> float | None:
    """A figure that came from the network: a finite number that is not negative, else None."""
    value = figures.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return value if 0 <= value <= _MOST else None


# -- this machine


def softwareOf(installed: Mapping[str, str], wanted: Mapping[str, str]) -> Finding:
    """Whether what is installed is new enough: versions by name, the lowest that will do by name."""
    told = ", ".join(f"{name} {version}" for name, version in installed.items())
    old = [f"{name}>={wanted[name]}" for name in installed if name in wanted and _older(installed[name], wanted[name])]
    if old:
        return Finding("software", Verdict.FAILED, told, f"pip install --upgrade {' '.join(repr(each) for each in old)}")
    return _fine("software", told)


def _older(version: str, wanted: str) -> bool:
    return _parts(version) < _parts(wanted)


def _parts(version: str) -> list[int]:
    parts = []
    for part in version.split("."):
        digits = "".join(each for each in part if each in "0123456789")
        if digits != part:
            break
        parts.append(int(part))
    return parts


def extrasOf(missing: Sequence[str]) -> Finding:
    """Which extras of the package are not installed, which harms nobody who does not use them."""
    if not missing:
        return _fine("extras", "all installed")
    return _fine("extras", f"all but {', '.join(missing)}; whoever needs one says pip install 'nodeset[{missing[0]}]'")


def limitsOf(soft: int, hard: int) -> Finding:
    """How many files a process that is started here may open; -1 is any number."""
    if soft < 0:
        return _fine("limits", "a process started here may open any number of files")
    told = f"a process started here may open {soft} files, each node of a dispatcher takes one"
    if 0 <= soft < _FEW:
        more = f"ulimit -n {hard}" if hard > soft else "raise the limit (LimitNOFILE= in systemd)"
        return Finding("limits", Verdict.WARNING, told, more)
    return _fine("limits", told + ("" if hard in (soft, -1) else f"; ulimit -n raises it to {hard}"))


def settingsOf(variables: Sequence[str], unknown: Sequence[str], file: str, warnings: Sequence[str]) -> Finding:
    """What sets something here: variables by name, those of ours that nobody knows, the file, what is odd about it."""
    told = ", ".join([*([file] if file else []), *variables]) or "none: the defaults count"
    if unknown:
        todo = f"nobody knows {', '.join(unknown)}: look for a slip of the pen"
        return Finding("settings", Verdict.WARNING, told, todo)
    if warnings:
        return Finding("settings", Verdict.WARNING, told, "; ".join(warnings))
    return _fine("settings", told)


def stateOf(path: str, mode: int | None, is_ours: bool, loose: Sequence[str] = ()) -> Finding:
    """The state directory: its mode, None if it is not there; whether it belongs to this user; its secrets that others read."""
    if mode is None:
        return _fine("state", f"{path} is not there yet: the first dispatcher of this user makes it")
    told = f"{path}, mode {stat.S_IMODE(mode):04o}"
    if not stat.S_ISDIR(mode):
        return Finding("state", Verdict.FAILED, f"{path} is not a directory", "choose another by $NODESET_HOME")
    if not is_ours:
        return Finding("state", Verdict.WARNING, f"{told}, of another user", "a dispatcher needs its own: set $NODESET_HOME")
    if mode & 0o022:
        return Finding("state", Verdict.FAILED, f"{told}: others can write there", f"chmod 700 {path}")
    if loose and mode & 0o011:
        some = f"{loose[0]}{f' and {len(loose) - 1} more' if len(loose) > 1 else ''}"
        return Finding("state", Verdict.WARNING, f"{told}: others can read {some} in it", f"chmod 700 {path}")
    return _fine("state", told)


def fileOf(origin: str, path: str | None, mode: int | None, warning: str = "") -> Finding:
    """Where the FURL is that was read: its file with the file's mode, or neither if it was given itself."""
    if path is None or mode is None:
        told = f"the FURL itself, by {origin}"
        return Finding("address", Verdict.WARNING, told, warning) if warning else _fine("address", told)
    told = f"{path}, by {origin}, mode {stat.S_IMODE(mode):04o}"
    if mode & 0o077:
        return Finding("address", Verdict.WARNING, f"{told}: others can use it", f"chmod 600 {path}")
    return _fine("address", told)


def grantOf(meaning: Meaning, now: float) -> Finding:
    """What the FURL says of its grant; `now` is Unix time."""
    told = {"owner": "an owner's", "member": "a member's", "limited": "a limited one", "none": "none in the name of this FURL"}
    ends = "" if meaning.expires is None else f", ends {when(meaning.expires, now)}"
    text = told[meaning.kind] + ends
    renew = "ask the dispatcher's owner for another (nodeset grant)"
    if meaning.expires is not None and meaning.expires <= now:
        return Finding("grant", Verdict.FAILED, f"{told[meaning.kind]}, ended {when(meaning.expires, now)}", renew)
    if meaning.kind == "none":
        return Finding("grant", Verdict.WARNING, text, "take the FURL that the dispatcher wrote last")
    if meaning.expires is not None and meaning.expires - now < _SOON:
        return Finding("grant", Verdict.WARNING, text, renew)
    return _fine("grant", text)


# -- the dispatcher


def roundTripOf(seconds: Sequence[float]) -> Finding:
    """Times that the dispatcher took to answer."""
    if not seconds:
        return Finding("round trip", Verdict.FAILED, "the dispatcher answered no call", "look into its log")
    ordered = sorted(seconds)
    middle = ordered[len(ordered) // 2]
    told = f"{middle * 1000:.1f} ms, at most {ordered[-1] * 1000:.1f} ms of {len(ordered)}"
    if middle > _SLOW:
        return Finding("round trip", Verdict.WARNING, told, "look at the network, and at the load of the dispatcher's machine")
    return _fine("round trip", told)


def clockOf(wall: float | None, now: float, round_trip: float) -> Finding:
    """Their Unix time against ours in the middle of the call that told it."""
    if wall is None:
        return _unknown("clock")
    apart, doubt = abs(wall - now), round_trip / 2
    if apart <= _APART + doubt:
        return _fine("clock", f"the same as the dispatcher's, to {apart + doubt:.1f} s")
    told = f"the dispatcher's is {apart:.1f} s {'ahead of' if wall > now else 'behind'} this machine's"
    return Finding("clock", Verdict.WARNING, told, "grants end by its clock: let both machines keep time by NTP")


def _unknown(check: str) -> Finding:
    return Finding(check, Verdict.SKIPPED, "this dispatcher does not say")


def versionOf(figures: Mapping[str, Any]) -> Finding:
    """Their version and protocol against ours."""
    version, protocol = figures.get("version"), number(figures, "protocol")
    if not isinstance(version, str) or protocol is None:
        return _unknown("version")
    told = f"nodeset {printable(version[:40])}, protocol {protocol:g}"
    if (version, protocol) == (__version__, VERSION):
        return _fine("version", f"{told}, as here")
    return Finding("version", Verdict.WARNING, f"{told}; here {__version__}, protocol {VERSION}", "update the older of the two")


def descriptorsOf(figures: Mapping[str, Any]) -> Finding:
    """How many files the dispatcher may open, against those that it has."""
    used, most, nodes = number(figures, "fds"), number(figures, "max_fds"), number(figures, "max_nodes")
    if used is None or not most:
        return _unknown("descriptors")
    counters = figures.get("counters")
    here = number(counters, "nodes") if isinstance(counters, Mapping) else None
    takes = most - used if nodes is None else min(most - used, nodes - (here or 0))
    told = f"the dispatcher uses {used:.0f} of {most:.0f}, which leaves room for {max(takes, 0):.0f} more nodes"
    if used > _FULL * most:
        return Finding("descriptors", Verdict.WARNING, told, "start it with a higher ulimit -n (LimitNOFILE= in systemd)")
    if takes <= 0:
        return Finding("descriptors", Verdict.WARNING, f"{told}: it takes {nodes:.0f}", "start it with more --max-nodes")
    return _fine("descriptors", told)


def memoryOf(figures: Mapping[str, Any]) -> Finding:
    """How much memory the dispatcher has."""
    size = number(figures, "rss")
    return _unknown("memory") if size is None else _fine("memory", f"the dispatcher has {size / 2**20:.0f} MiB")


def loopOf(figures: Mapping[str, Any]) -> Finding:
    """How late the dispatcher was with what was due."""
    lag = number(figures, "lag")
    if lag is None:
        return _unknown("lateness")
    told = f"the dispatcher was at most {lag * 1000:.0f} ms late in the last minute"
    if lag > _LATE:
        return Finding("lateness", Verdict.WARNING, told, "its machine has too little processor time for it")
    return _fine("lateness", told)


def dropsOf(figures: Mapping[str, Any]) -> Finding:
    """Events that the dispatcher dropped since it started."""
    drops = figures.get("drops")
    if not isinstance(drops, Mapping):
        return _unknown("drops")
    counts = {printable(str(reason)[:40]): count for reason in list(drops)[:20] if (count := number(drops, reason))}
    if not counts:
        return _fine("drops", "no event since the dispatcher started")
    told = ", ".join(f"{count:.0f} {reason}" for reason, count in counts.items())
    others = counts.keys() - _QUEUELESS.keys()
    todo = [_FULL_QUEUE] if others else [_QUEUELESS[reason] for reason in counts]
    return Finding("drops", Verdict.WARNING, told, "; ".join(todo))
