"""The account that PostgreSQL runs as: `postgres` when we are root (it refuses to run as root), ourselves otherwise.

Root of a user namespace with a uid range is root here too: `postgres` is then a mapped uid, and nothing is different.
"""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from typing import Any

from harness.core.errors import Unusable

NAME = "postgres"


def ids() -> tuple[int, int] | None:
    """User and group to become; None when we are no root and stay who we are."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(NAME)
    except KeyError:
        raise Unusable(f"there is no user {NAME} on this machine; the package postgresql makes one: `apt-get install postgresql`") from None
    if not _mapped(entry.pw_uid, "uid") or not _mapped(entry.pw_gid, "gid"):
        raise Unusable(
            f"uid {entry.pw_uid} ({NAME}) does not exist in this user namespace, which needs a whole uid range: "
            "`unshare --user --map-auto --map-root-user` with a line for you in /etc/subuid and /etc/subgid"
        )
    return entry.pw_uid, entry.pw_gid


def _mapped(number: int, kind: str) -> bool:
    ranges = [[int(text) for text in line.split()] for line in Path(f"/proc/self/{kind}_map").read_text().splitlines()]
    return any(first_id <= number < first_id + count for first_id, _, count in ranges)


def become() -> None:
    """Turn this process into that account, for good."""
    account = ids()
    if account is None:
        return
    os.setgroups([])
    os.setgid(account[1])
    os.setuid(account[0])


def identity_for_subprocess() -> dict[str, Any]:
    """The same as arguments of subprocess.run."""
    account = ids()
    return {} if account is None else {"user": account[0], "group": account[1], "extra_groups": []}


def give(tree: Path) -> None:
    """Make the account owner of a folder and all that is in it; PostgreSQL wants the folder itself closed to others.

    A folder that is the account's already is taken to be so all through: a copy that keeps owners need not be walked again.
    """
    account = ids()
    if account is not None and tree.stat().st_uid != account[0]:
        for folder, _, files in os.walk(tree):
            os.chown(folder, *account)
            for name in files:
                os.chown(os.path.join(folder, name), *account, follow_symlinks=False)  # noqa: PTH118  # a thousand files: no Path each
    tree.chmod(0o700)
