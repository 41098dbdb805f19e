"""The lab's stand-in for SQL Server as a real process on loopback, with certificates of its own, for tests with clients of every kind."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from lab_services import PASSWORD, template

from harness.core.deadline import Deadline
from harness.lab.services import node_process, postgres_template
from harness.services import service_registry
from harness.services.service_kind import Identity
from tests.free_port import free_port

LIMIT_S = 60.0


def certificate(folder: Path, name: str, *, days: float = 30) -> Path:
    """A self-signed certificate for 127.0.0.1 and `name`, with its key in one PEM file; NAME.crt beside it is for clients to trust."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    end = dt.datetime.now(dt.UTC) + dt.timedelta(days=days)
    names: list[x509.GeneralName] = [x509.DNSName(name)]
    if name == "localhost":
        names.append(x509.IPAddress(ip_address("127.0.0.1")))
    made = (
        x509.CertificateBuilder(subject_name=subject, issuer_name=subject, public_key=key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(end - dt.timedelta(days=365))
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    own = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / f"{name}.pem").write_bytes(own + made.public_bytes(pem))
    (folder / f"{name}.crt").write_bytes(made.public_bytes(pem))
    return folder / f"{name}.pem"


class StandIn:
    """A database of its own, and the server in front of it. `start` may be called again, for another node."""

    def __init__(self, folder: Path, template: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.data, self.log, self.sick = folder / "data", folder / "log", folder / "sick"
        postgres_template.copy_template(template, self.data)
        (folder / "pw").write_text(PASSWORD + "\n")
        (folder / "wrong").write_text("another\n")
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def settings(self) -> dict[str, str]:
        return {"user": "harness", "database": "harness", "password_file": str(self.folder / "pw")}

    def start(self, node: str = "lknode01", *more: str) -> None:
        words = ["--port", str(self.port), "--bind", "127.0.0.1", "--node", node, "--data", str(self.data), "--log", str(self.log)]
        words += ["--socket-dir", str(self.folder / "run"), "--sick", str(self.sick)]
        read, write = os.pipe()
        os.set_inheritable(write, True)
        environment = {**os.environ, "LAB_READY_FD": str(write)}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "harness.lab.services.tds_server", *words, *more], env=environment, pass_fds=(write,)
        )
        os.close(write)
        with os.fdopen(read, "rb") as ready:
            assert ready.read(5) == b"ready", self.log.read_text()

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self.process is None:
            return
        self.process.send_signal(how)
        self.process.wait(LIMIT_S)
        self.process = None
        pid = (self.data / "postmaster.pid").read_text().split()[0] if (self.data / "postmaster.pid").exists() else ""
        if pid and (left := node_process.find(int(pid))):
            assert node_process.wait_until_gone(left, Deadline(LIMIT_S))

    def ask(self, **settings: str) -> Identity:
        kind = service_registry.kind("mssql")
        return kind.who_are_you("127.0.0.1", self.port, settings={**self.settings, **settings}, deadline=Deadline(LIMIT_S))

    def table(self, **settings: str) -> Any:
        kind = service_registry.kind("mssql")
        return kind.token_table("127.0.0.1", self.port, settings={**self.settings, **settings}, deadline=Deadline(LIMIT_S))


@contextlib.contextmanager
def stand_in() -> Iterator[StandIn]:
    """Not started yet; its folder is open to the postgres account, as pytest's own are not."""
    with tempfile.TemporaryDirectory(prefix="lkm-") as name:
        Path(name).chmod(0o755)
        made = StandIn(Path(name), template())
        try:
            yield made
        finally:
            made.end()
