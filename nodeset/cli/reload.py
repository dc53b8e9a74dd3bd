"""What SIGHUP does to a service."""

from __future__ import annotations

from collections.abc import Callable

from twisted.logger import Logger

from nodeset import settings
from nodeset.cli.logs import Log
from nodeset.errors import BadSettings
from nodeset.settings import Settings
from nodeset.settings.changes import compare
from nodeset.settings.readers import show
from nodeset.settings.schema import NODE, aboutOf, dashed

__all__ = ["Reload"]


def _say(found: Settings, name: str) -> str:
    return "as by default" if found.isDefault(name) and aboutOf(name).default else show(getattr(found, name))


class Reload:
    """Reads the settings again, changes what can be changed, says what cannot; opens the log anew.

    :param found: the settings by which it was started.
    :param observer: the log, if it is ours.
    """

    log = Logger()

    def __init__(self, found: Settings, observer: Log | None) -> None:
        self._found, self._observer = found, observer
        self._service = NODE
        self._reread: Callable[[], Settings] = lambda: self._found
        #: Called with the settings when some have changed; a setting that SIGHUP may change is of no use without one.
        self.takers: list[Callable[[Settings], object]] = []
        #: Called at every SIGHUP, whatever became of the settings: they read files anew that have no settings in them.
        self.readers: list[Callable[[], object]] = []

    def readBy(self, service: str, found: Settings, reread: Callable[[], Settings]) -> None:
        """The settings of this service were `found`; `reread` reads them again, BadSettings if they cannot be."""
        self._service, self._found, self._reread = service, found, reread

    def __call__(self) -> None:
        """Do it. Whatever is wrong is a line in the log: the service goes on by the settings that it has."""
        if self._observer is not None:
            self._observer.reopen()
            if self._found.loglevel != "debug":
                self._observer.setLevel("info")  # whoever asks is answered, at whatever level the service logs
        try:
            self._read()
            self._readOthers()
        finally:
            if self._observer is not None:
                self._observer.setLevel(self._found.loglevel)

    def _readOthers(self) -> None:
        for read in self.readers:
            try:
                read()
            except Exception:
                self.log.failure("a file was not read again")

    def _read(self) -> None:
        if self._found.config is None:
            self.log.info("the log is opened anew; there is no file of settings to read: it is --config that names one")
            return
        try:
            found = self._reread()
        except BadSettings as error:
            self.log.error("the settings stay as they were: {reason}", reason=str(error))
            return
        for warning in found.warnings:
            self.log.warn("{warning}", warning=warning)
        changes = compare(self._found, found, self._service)
        if self._observer is None and "loglevel" in changes.changed:
            self.log.warn("loglevel is for a log of our own: with --syslog or --logger it changes nothing")
        for name in changes.changed:
            was, now = _say(self._found, name), _say(found, name)
            self.log.info("{name} is {now} now, it was {was}", name=dashed(name), now=now, was=was)
        for name in changes.stuck:
            was, now = _say(self._found, name), _say(found, name)
            self.log.warn("{name} stays {was} until a restart, which will make it {now}", name=dashed(name), was=was, now=now)
        if not changes.changed and not changes.stuck:
            self.log.info("{file} was read again: no setting changed", file=self._found.config)
        if changes.changed:
            self._found = changes.settings
            self._apply(changes.settings)

    def _apply(self, found: Settings) -> None:
        settings.use(found)
        for take in self.takers:
            try:
                take(found)
            except Exception:
                self.log.failure("the new settings were not taken")
