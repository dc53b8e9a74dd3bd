"""The settings value, with the seed's view of it."""

from __future__ import annotations

import os

import attrs
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from nodeset import settings
from nodeset.core import batch
from nodeset.core.config import Configurator
from nodeset.core.dispatcher import DRAIN_TIMEOUT
from nodeset.errors import BadSettings
from nodeset.settings import Settings, load
from nodeset.transport.furl import DEFAULT_PLACE

SECRET = "pb://abcdefghijklmnopqrstuvwxyz234567@tcp:h:1/thesecret"


class LoadTests(SynchronousTestCase):
    def test_defaults(self) -> None:
        """With nothing said, the settings are those of the documentation, the same as the rooms' own defaults."""
        found = load({}, {})
        self.assertEqual(found, Settings())
        self.assertEqual(found.dispatcher_url, DEFAULT_PLACE)
        self.assertEqual((found.listen, found.loglevel, found.verbose), ("localhost:5444", "info", False))
        self.assertEqual((found.publish_timeout, found.handler_timeout, found.drain_timeout), (60.0, 30.0, DRAIN_TIMEOUT))
        self.assertEqual((found.max_message, found.max_nodes), (batch.MAX_EVENT, 100_000))
        self.assertTrue(found.listensByDefault())

    def test_order(self) -> None:
        """The environment beats a default, an option beats both."""
        environ = {"NODESET_LOGLEVEL": "WARN", "NODESET_SITE": "here", "NODESET_DISPATCHER": "/a/file"}
        found = load(environ, {"loglevel": "Debug", "site": None, "drain-timeout": "2.5"})
        self.assertEqual((found.loglevel, found.site, found.drain_timeout), ("debug", "here", 2.5))
        self.assertEqual(found.dispatcher_url, "/a/file")
        self.assertEqual(found.given, {"loglevel", "drain_timeout"})
        self.assertEqual(found.environment, {"loglevel", "site", "dispatcher_url"})

    def test_givenDefault(self) -> None:
        """An option that repeats the default was given; one that was left out was not."""
        self.assertFalse(load({}, {"listen": "localhost:5444"}).listensByDefault())
        self.assertFalse(load({"NODESET_LISTEN": "localhost:5444"}, {}).listensByDefault())
        self.assertTrue(load({"NODESET_LISTEN": ""}, {"listen": None}).listensByDefault())

    def test_unknownVariable(self) -> None:
        """A variable of a later version, or of somebody else, does no harm."""
        self.assertEqual(load({"NODESET_FROM_THE_FUTURE": "1", "PATH": "/bin"}, {}), Settings())

    def test_unknownOption(self) -> None:
        """A setting that does not exist is named, with those that do."""
        error = self.assertRaises(BadSettings, load, {}, {"dispatcher-ulr": "x"})
        self.assertIn("'dispatcher-ulr'", str(error))
        self.assertIn("dispatcher_url", str(error))

    def test_badValues(self) -> None:
        """A bad value is refused in one line that names the option or the variable, with the value."""
        bad = {
            "publish-timeout": ["0", "-1", "nan", "inf", "soon", "1e9", ""],
            "max-nodes": ["0", "-5", "1.5", "many", "9" * 30, "\u0663"],
            "max-message": ["0", "1048577", "1M"],
            "loglevel": ["loud", ""],
            "verbose": ["perhaps"],
            "site": ["a/b", "a@b", "", "x" * 300, "a\nb"],
            "gc": ["off"],
            "state-dir": ["", "a\nb"],
            "advertise": ["", "tcp:h:1,,", ","],
        }
        for option, values in bad.items():
            for value in values:
                error = str(self.assertRaises(BadSettings, load, {}, {option: value}))
                self.assertTrue(error.startswith(f"--{option}: "), error)
                self.assertNotIn("\n", error)
                self.assertTrue(repr(value)[:20] in error, error)
                variable = settings.environmentName(option.replace("-", "_"))
                if value:
                    error = str(self.assertRaises(BadSettings, load, {variable: value}, {}))
                    self.assertTrue(error.startswith(f"${variable}: "), error)

    def test_secret(self) -> None:
        """No repr or error shows the secret of a FURL, wherever it was put by mistake."""
        found = load({}, {"dispatcher-url": SECRET})
        self.assertEqual(found.dispatcher_url, SECRET)
        self.assertNotIn("thesecret", repr(found))
        for option in ("loglevel", "site", "max-nodes", "drain-timeout", "gc", "verbose"):
            error = self.assertRaises(BadSettings, load, {}, {option: SECRET})
            self.assertNotIn("thesecret", str(error))
        self.assertNotIn("thesecret", str(self.assertRaises(BadSettings, load, {}, {SECRET: "x"})))

    def test_cut(self) -> None:
        """A long value is cut inside its quotes, so that the line goes on after them."""
        for value in ("x" * 300, "it's" + "x" * 300, SECRET + "x" * 300):
            error = str(self.assertRaises(BadSettings, load, {}, {"loglevel": value}))
            self.assertRegex(error, r"^--loglevel: (['\"])[^\n]*\1 is ")

    def test_lists(self) -> None:
        """What may be given more than once is a list, or has commas."""
        self.assertEqual(load({}, {"advertise": ["tcp:a:1", "tcp:b:2"]}).advertise, ("tcp:a:1", "tcp:b:2"))
        self.assertEqual(load({"NODESET_ADVERTISE": "tcp:a:1, tcp:b:2"}, {}).advertise, ("tcp:a:1", "tcp:b:2"))

    def test_frozen(self) -> None:
        """Nobody changes the settings under somebody else's feet."""
        with self.assertRaises(attrs.exceptions.FrozenInstanceError):
            setattr(Settings(), "verbose", True)  # noqa: B010

    @given(st.text(max_size=30), st.sampled_from(["publish-timeout", "max-nodes", "loglevel", "site", "verbose", "furlfile"]))
    @hypothesis_settings(max_examples=100, deadline=None)
    def test_anyText(self, text: str, option: str) -> None:
        """Whatever is typed is either taken or refused in one line."""
        try:
            load({}, {option: text})
        except BadSettings as error:
            self.assertNotIn("\n", str(error))


class ProcessTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.addCleanup(settings.use, None)
        settings.use(None)

    def test_current(self) -> None:
        """The process has one settings value: what it was told, else the environment at the first look."""
        self.patch(os, "environ", {"NODESET_SITE": "first"})
        self.assertEqual(settings.current().site, "first")
        self.assertIs(settings.current(), settings.current())
        told = Settings(site="told")
        settings.use(told)
        self.assertIs(settings.current(), told)

    def test_configurator(self) -> None:
        """Every Configurator shows the same settings, by the original's names or as attributes."""
        settings.use(load({}, {"listen": "localhost:1", "verbose": "1"}))
        one, two = Configurator(), Configurator()
        self.assertEqual((one["listen"], two.listen, one["verbose"]), ("localhost:1", "localhost:1", True))
        self.assertEqual(one["dispatcher-url"], DEFAULT_PLACE)
        self.assertEqual((one["dht-nodes"], one["dht-port"], one.subCommand), (None, None, None))
        self.assertEqual(one.get("dispatcher-url"), DEFAULT_PLACE)
        settings.use(load({}, {"listen": "localhost:2"}))
        self.assertEqual(one["listen"], "localhost:2")

    def test_configuratorMissing(self) -> None:
        """What is no setting is a KeyError as an item, an AttributeError as an attribute, a default from get."""
        config = Configurator()
        with self.assertRaises(KeyError):
            config["nonsense"]
        with self.assertRaises(AttributeError):
            _ = config.nonsense
        self.assertEqual(config.get("nonsense", 3), 3)
        self.assertEqual((config.has_key("listen"), config.has_key("nonsense"), "given" in config), (True, False, False))
        self.assertEqual([name for name in config if not config.has_key(name)], [])
        self.assertEqual(config.keys(), list(config))
