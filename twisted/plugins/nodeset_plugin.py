"""The twistd commands of NodeSet.

twistd reads every plugin of every package for its list of commands, so nothing of nodeset is imported here: the names below
are resolved when their command was chosen, after `--reactor` was obeyed.
"""

from __future__ import annotations

from twisted.application.service import ServiceMaker

dispatcher_maker = ServiceMaker(
    "NodeSet dispatcher", "nodeset.cli.dispatch", "Routes events between nodes.", "nodeset-dispatcher"
)
node_maker = ServiceMaker("NodeSet node", "nodeset.cli.node", "Shows or publishes events.", "nodeset-node")
monitor_maker = ServiceMaker("NodeSet monitor", "nodeset.cli.monitor", "Watches a dispatcher.", "nodeset-monitor")
web_maker = ServiceMaker("NodeSet web", "nodeset.cli.web", "Bridges a dispatcher to HTTP.", "nodeset-web")
center_maker = ServiceMaker("NodeSet center", "nodeset.cli.center", "Logs what watched processes do.", "nodeset-center")
processes_maker = ServiceMaker(
    "NodeSet processes", "nodeset.cli.processes", "Runs the programs of a file.", "nodeset-processes"
)
shell_maker = ServiceMaker("NodeSet shell", "nodeset.cli.shell", "A Python shell with a node.", "nodeset-shell")
