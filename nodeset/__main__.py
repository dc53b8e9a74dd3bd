"""What `python -m nodeset` runs."""

from __future__ import annotations

import sys

__all__ = ["main"]

_HELP = """Usage: python -m nodeset dispatcher|node [options]

  dispatcher    routes events between nodes, as nodeset-dispatcher does
  node          shows events or publishes one, as nodeset-node does
  --version     show the version

python -m nodeset dispatcher --help lists its options, as does node --help.
"""


def main() -> None:
    """Run the command that the first word names, `dispatcher` or `node`, with the words after it.

    No word shows what there is; any other first word is one line on stderr with exit code 2.
    """
    word, rest = (sys.argv[1], sys.argv[2:]) if len(sys.argv) > 1 else ("--help", [])
    # The commands take their name and their options from sys.argv, as the console scripts do.
    match word:
        case "dispatcher":
            from nodeset.cli import dispatch

            sys.argv = ["nodeset-dispatcher", *rest]
            dispatch.main()
        case "node":
            from nodeset.cli import node

            sys.argv = ["nodeset-node", *rest]
            node.main()
        case "--help" | "-h":
            sys.stdout.write(_HELP)
        case "--version":
            from nodeset.version import __version__

            sys.stdout.write(f"nodeset.core version: {__version__}\n")
        case _:
            # A FURL put here by mistake is a secret after its first slash; ascii() keeps it one line.
            what = f"there is no command {word.partition('/')[0][:40]!a}"
            sys.stderr.write(f"nodeset: {what}: say python -m nodeset dispatcher, or node, then its options\n")
            raise SystemExit(2)


if __name__ == "__main__":
    main()
