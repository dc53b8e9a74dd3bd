"""As whom a program is started."""

from __future__ import annotations

import os
import pwd
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from nodeset.errors import CannotStart
from nodeset.processes.program import Program
from nodeset.processes.starting.launch import orderOf

#: Nobody's.
NUMBER = 3_999_999_999


class OwnerTests(SynchronousTestCase):
    def owner(self, **fields: Any) -> tuple[Any, Any, Any]:
        order = orderOf(Program(name="p", command=("true",), **fields))
        return order.user, order.group, order.extra_groups

    def test_number(self) -> None:
        """The number of a user is as good as the name: the groups of that user come with it, none of ours stay."""
        name = pwd.getpwuid(os.getuid()).pw_name
        self.assertEqual(self.owner(user=str(os.getuid())), (name, None, None))
        self.assertEqual(self.owner(user=name, group="7"), (name, 7, None))
        self.assertEqual(self.owner(group="daemon"), (None, "daemon", None))

    def test_noAccount(self) -> None:
        """A number without an account has the group that was given with it, no other; without one it is refused."""
        self.assertEqual(self.owner(user=str(NUMBER), group="8"), (NUMBER, 8, ()))
        error = self.assertRaises(CannotStart, self.owner, user=str(NUMBER))
        self.assertEqual(error.at, "user")
        self.assertIn("give the group as well", str(error))
