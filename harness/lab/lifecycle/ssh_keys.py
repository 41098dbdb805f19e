"""SSH keys made for one lab: a login key, a host key per host, and the known_hosts that vouches for them."""

from __future__ import annotations

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


def read(folder: Path, name: str) -> str:
    """The public line of a key that was made before."""
    return " ".join((folder / f"{name}.pub").read_text().split()[:2])


def known_hosts_line(port: int, address: str, public: str) -> str:
    """Both ways to a host: its loopback port on this machine, and its own address (through a jump host)."""
    return f"[127.0.0.1]:{port} {public}\n{address} {public}\n"
