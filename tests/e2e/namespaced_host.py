"""A host of a test's own: processes, mounts (with an empty /run) and network in namespaces that end with it; other users, too."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.core.deadline import Deadline
from harness.hosts.local_host import LocalHost

NOBODY = 65534
HOLD = "mount -t tmpfs -o mode=755 none /run && ip link set lo up && echo held && exec sleep infinity"


@contextlib.contextmanager
def own_machine(name: str = "here") -> Iterator[LocalHost]:
    """As root, or as an ordinary user who is root there."""
    root = os.geteuid() == 0
    new = ["unshare", *([] if root else ["--user", "--map-root-user"]), "--mount", "--pid", "--net", "--fork", "--mount-proc"]
    holder = subprocess.Popen(
        [*new, "--kill-child", "sh", "-c", HOLD], stdout=subprocess.PIPE, text=True, env={**os.environ, "PATH": path()}
    )
    assert holder.stdout
    try:
        assert holder.stdout.readline() == "held\n", "no namespaces can be made here"
        children = f"/proc/{holder.pid}/task/{holder.pid}/children"
        first = Deadline(120).wait_for(lambda: open(children).read().split(), what="its first process")[0]  # noqa: PTH123, SIM115
        host = LocalHost(name, prefix=["nsenter", "-t", first, *([] if root else ["-U", "--preserve-credentials"]), "-m", "-p", "-n"])
        try:
            yield host
        finally:
            host.close()
    finally:
        holder.kill()
        holder.communicate()


def path() -> str:
    return f"{os.environ['PATH']}:/usr/sbin:/sbin"


def with_programs(host: LocalHost, folder: Path, **programs: str) -> LocalHost:
    """The same host, which finds these programs (shell texts; `_` stands for `-` in a name) before its own."""
    folder.mkdir(exist_ok=True)
    for name, text in programs.items():
        place = folder / name.replace("_", "-")
        place.write_text(f"#!/bin/sh\n{text}\n")
        place.chmod(0o755)
    return LocalHost(host.name, prefix=[*host._prefix, "env", f"PATH={folder}:{path()}"])


def as_nobody(host: LocalHost) -> LocalHost:
    """The same machine, logged in to as a user who is nobody there. Needs root."""
    assert shutil.which("setpriv")
    words: Sequence[str] = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    return LocalHost(f"{host.name}, nobody", prefix=[*host._prefix, *words])
