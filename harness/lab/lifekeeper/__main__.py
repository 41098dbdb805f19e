"""`python -m harness.lab.lifekeeper`: the supervised daemon in the foreground; lkstart runs the same in the background."""

from __future__ import annotations

import sys

from harness.core.errors import BadUse
from harness.lab.lifekeeper.commands.daemon_supervisor import lock, supervise
from harness.lab.lifekeeper.config.stand_in_settings import load
from harness.lab.lifekeeper.node import Node


def main() -> int:
    """Runs the daemon until it is told to stop; returns the exit code, 2 when one runs already."""
    try:
        config = load()
        if lock(config) is None:
            raise BadUse(f"the stand-in already runs on {config.node}; stop it with lkstop first")
        return supervise(config, Node(config))
    except BadUse as error:
        print(error, file=sys.stderr)
        return int(error.exit_code)


if __name__ == "__main__":
    sys.exit(main())
