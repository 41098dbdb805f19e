"""What runs a command of LKROOT/bin in Python: `command_entry.py COMMAND words…`. A file's own path says where its package is, so nothing
has to be set for it. `--unanswered COMMAND` speaks for a command whose daemon took its request and gave no whole answer."""

from __future__ import annotations

import sys


def main(command: str, words: list[str]) -> int:
    """Returns the exit code."""
    sys.path.insert(0, __file__.rpartition("/harness/")[0])
    from harness.lab.lifekeeper.commands import command_client

    return command_client.unanswered(words[0]) if command == "--unanswered" else command_client.main(command, words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
