"""A PostgreSQL data directory that is made once, kept in a cache, and copied for each lab.

initdb takes most of a second; a copy takes some 60 ms.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import hmac
import json
import os
import re
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from harness.core.deadline import Deadline
from harness.core.errors import BadUse, Unusable
from harness.lab.services import postgres_account as account

ROLE = "harness"  # logs in with the password; the superuser is `postgres`, from the node itself only
INITDB_OPTIONS = ("--no-sync", "--wal-segsize=1", "--encoding=UTF8", "--locale=C.UTF-8", "--no-instructions", "--auth=trust")
SETTINGS = {  # small and quick to start; fsync and full_page_writes stay on, since crash recovery has to be real
    "fsync": "on",
    "shared_buffers": "4MB",
    "max_connections": "100",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "min_wal_size": "2MB",
    "max_wal_size": "64MB",
    "max_worker_processes": "0",
    "max_parallel_workers": "0",
    "max_logical_replication_workers": "0",
    "autovacuum": "off",
    "huge_pages": "off",
    "dynamic_shared_memory_type": "mmap",  # inside the data directory: nothing is left in /dev/shm when a node loses power
    "jit": "off",
    "password_encryption": "scram-sha-256",
    "unix_socket_permissions": "0700",  # root and postgres only, which is why trust will do there
    "logging_collector": "off",
    "log_line_prefix": "'%m [%p] '",
}
HBA = """\
# Written by the lab. The socket is for the owner and root only (unix_socket_permissions); postgres alone needs no password.
local  all  postgres                trust
local  all  all                     scram-sha-256
host   all  all       0.0.0.0/0     scram-sha-256
host   all  all       ::/0          scram-sha-256
"""


def server_binaries() -> Path:
    """The folder of the newest PostgreSQL server on this machine. Raises Unusable, naming the package, when there is none."""
    installed = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/postgres") if os.access(path, os.X_OK)]
    if installed:
        return max(installed, key=lambda folder: [int(number) for number in re.findall(r"\d+", folder.parent.name)])
    if binary := shutil.which("postgres"):
        folder = Path(binary).resolve().parent
        if (folder / "initdb").exists():
            return folder
    raise Unusable("no PostgreSQL server on this machine; install it with `apt-get install --no-install-recommends postgresql`")


def ensure_template(cache: Path, password: str, *, limit: float = 60.0) -> Path:
    """The template for this server, these settings and this password; made now when the cache does not hold it yet.

    Any number of labs may ask at once: one makes it, the others wait for it, at most `limit` seconds.
    """
    binaries = server_binaries()
    if not password or not password.isascii() or not password.isprintable():
        raise BadUse("the database password must be printable ASCII and not empty")
    version = subprocess.run([binaries / "postgres", "--version"], check=True, capture_output=True, text=True, timeout=limit).stdout
    template = cache / f"postgres-{_key(version, password)}"
    if template.is_dir():
        return template
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f".{template.name}.lock").open("w") as lock:
        # The kernel lets go of the lock when its holder dies, however it dies.
        Deadline(limit).wait_for(lambda: _try_lock(lock.fileno()), what=f"another lab making {template}", every=0.05)
        if not template.is_dir():
            _make(binaries, template, password, limit)
    return template


def copy_template(template: Path, target: Path) -> None:
    """Copy it to `target`, which must not exist or be empty, and give it to the account that PostgreSQL runs as.

    Raises BadUse when something is in the way.
    """
    if target.exists() and any(target.iterdir()):
        raise BadUse(f"{target} is not empty; give a new folder for the database")
    target.mkdir(parents=True, exist_ok=True)
    completed = subprocess.run(["cp", "-a", "--reflink=auto", f"{template}/.", str(target)], capture_output=True, text=True)
    if completed.returncode:
        raise Unusable(f"{template} could not be copied to {target}: {completed.stderr.strip()}")
    account.give(target)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _key(version: str, password: str) -> str:
    """Tells templates apart without telling the password: it is stretched before it goes into a folder's name."""
    stretched = hashlib.pbkdf2_hmac("sha256", password.encode(), b"lkharness template", 20_000).hex()
    parts = [version.strip(), INITDB_OPTIONS, SETTINGS, HBA, stretched]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:20]


def _make(binaries: Path, template: Path, password: str, limit: float) -> None:
    """Build it where the postgres account can go (it may not enter the cache's parents), copy it beside its place, rename."""
    for leftover in template.parent.glob(f".{template.name}.new-*"):  # of a lab that died here; nobody else holds the lock
        shutil.rmtree(leftover)
    work = Path(tempfile.mkdtemp(prefix="lkharness-initdb-"))
    try:
        work.chmod(0o711)
        data = work / "data"
        data.mkdir(mode=0o700)
        account.give(data)
        _run([binaries / "initdb", *INITDB_OPTIONS, "--username=postgres", f"--pgdata={data}"], "initdb", limit)
        (data / "pg_hba.conf").write_text(HBA)
        with (data / "postgresql.conf").open("a") as settings:
            settings.write("\n# the lab's own\n" + "".join(f"{name} = {value}\n" for name, value in SETTINGS.items()))
        for statement in (
            f"CREATE ROLE {ROLE} LOGIN PASSWORD '{verifier(password)}'",
            f"CREATE DATABASE {ROLE} OWNER {ROLE} STRATEGY file_copy",
        ):
            single: list[str | Path] = [
                binaries / "postgres",
                "--single",
                "-D",
                data,
                "-c",
                "fsync=off",
                "-c",
                "log_min_error_statement=panic",
                "template1",
            ]
            _run(single, "creating the role and its database", limit, statement + "\n")
        new_template = Path(tempfile.mkdtemp(prefix=f".{template.name}.new-", dir=template.parent))
        copy_template(data, new_template)
        new_template.rename(template)
    finally:
        shutil.rmtree(work)


def _run(command: Sequence[str | Path], step: str, limit: float, text: str | None = None) -> None:
    completed = subprocess.run(
        command, input=text, capture_output=True, text=True, timeout=limit, cwd="/", **account.identity_for_subprocess()
    )
    # In single-user mode the server exits 0 after a failed statement too: then its log says ERROR.
    if completed.returncode or "ERROR:" in completed.stderr or "FATAL:" in completed.stderr:
        last_line = (completed.stderr.strip() or completed.stdout.strip() or "nothing").splitlines()[-1]
        raise Unusable(f"PostgreSQL template: {step} failed (exit {completed.returncode}) and said: {last_line}")


def verifier(password: str) -> str:
    """What PostgreSQL stores of a password (RFC 5803), made here so that the password itself never goes to the server or its log."""
    rounds, salt = 4096, secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, rounds)
    stored_key = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    encoded_parts = [base64.b64encode(part).decode() for part in (salt, stored_key, server)]
    return f"SCRAM-SHA-256${rounds}:{encoded_parts[0]}${encoded_parts[1]}:{encoded_parts[2]}"
