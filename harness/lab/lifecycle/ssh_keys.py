"""SSH keys made for one lab: a login key, a host key per host, and the known_hosts that vouches for them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat


def make(folder: Path, name: str) -> str:
    """Write a private key `name` and `name.pub`; return the public line."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    (folder / name).touch(mode=0o600)
    (folder / name).write_bytes(private)
    (folder / f"{name}.pub").write_text(f"{public} {name}\n")
    return public


def write_all(folder: Path, hosts: Iterable[tuple[str, str, int]]) -> None:
    """The keys of a lab in that folder, unless they are there (those of a snapshot, which its machines know), and its known_hosts.

    `hosts`: each one's name, address, and loopback port on this machine.
    """
    keys = folder / "keys"
    make_or_read = _read if keys.exists() else make
    keys.mkdir(mode=0o700, exist_ok=True)
    make_or_read(keys, "login")
    lines = [known_hosts_line(port, address, make_or_read(keys, name)) for name, address, port in hosts]
    (folder / "known_hosts").write_text("".join(lines))


def _read(folder: Path, name: str) -> str:
    return " ".join((folder / f"{name}.pub").read_text().split()[:2])


def known_hosts_line(port: int, address: str, public: str) -> str:
    """Both ways to a host: its loopback port on this machine, and its own address (through a jump host)."""
    return f"[127.0.0.1]:{port} {public}\n{address} {public}\n"
