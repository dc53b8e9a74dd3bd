"""What `python -m nodeset` runs."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command that the first word names, `dispatcher` or `node`, with the words after it.

    Any other first word, or none, is one line on stderr with exit code 2.
    """
    word, rest = (sys.argv[1], sys.argv[2:]) if len(sys.argv) > 1 else ("", [])
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
        case _:
            sys.stderr.write(f"nodeset: {_complaint(word)}: say python -m nodeset dispatcher, or node, then its options\n")
            raise SystemExit(2)


def _complaint(word: str) -> str:
    # A FURL put here by mistake is a secret after its first slash; ascii() keeps it one line.
    return f"there is no command {word.partition('/')[0][:40]!a}" if word else "no command was given"


if __name__ == "__main__":
    main()
