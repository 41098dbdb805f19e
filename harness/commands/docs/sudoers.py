"""`lkharness sudoers`: the lines of sudoers that the accounts of a cluster file need, and the program that they name."""

from __future__ import annotations

import argparse

from harness.commands.shared_options import add, add_cluster, cluster_file, print_json
from harness.core.errors import BadUse

LEVELS = ("look", "measure", "disturb")
UNTIL = "%Y-%m-%dT%H:%MZ"


def add_to(commands) -> None:
    """Adds the command to the parser."""
    parser = add(
        commands,
        "sudoers",
        _sudoers,
        "print what sudo must allow each host's account for looking, measuring or disturbing; nothing is asked of a host",
        "lkharness sudoers --cluster customer.toml --level measure",
    )
    add_cluster(parser)
    parser.add_argument("--level", choices=LEVELS, default="look", help="each holds the one before; disturb is a shell, so everything")
    parser.add_argument("--until", metavar="TIME", help="when the right to disturb ends, in UTC, such as 2026-12-01T18:00Z")
    parser.add_argument(
        "--program",
        choices=("packet-capture", "lease"),
        help="print a program that the lines name, to be installed as root's own",
    )


def _sudoers(arguments: argparse.Namespace) -> int:
    from datetime import UTC, datetime

    from harness.attach import sudoers_fragment
    from harness.config import cluster_config

    if arguments.program:
        path, text = next((path, text()) for path, text in sudoers_fragment.PROGRAMS.items() if path.endswith(f"/{arguments.program}"))
        if arguments.json:
            print_json({"path": path, "text": text})
        else:
            print(text, end="")
        return 0
    try:
        until = datetime.strptime(arguments.until, UNTIL).replace(tzinfo=UTC) if arguments.until else None
    except ValueError:
        raise BadUse(f"--until is no time such as 2026-12-01T18:00Z: {arguments.until}") from None
    cluster = cluster_config.load(cluster_file(arguments.cluster))
    linux = [m for m in cluster.machines if m.platform == "linux" and m.ssh.user != "root"]
    texts = {m.name: sudoers_fragment.fragment(cluster, m, arguments.level, until) for m in linux}
    if arguments.json:
        print_json({"level": arguments.level, "machines": texts})
    else:
        print(
            "\n".join(texts.values()) or "nobody needs sudo: every account of the cluster file is root, or Windows's",
            end="" if texts else "\n",
        )
    return 0
