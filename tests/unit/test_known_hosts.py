"""known_hosts, as OpenSSH writes it."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest

from harness.hosts.ssh.known_hosts import entry_name, fingerprint, keys_of, parse

KEY, OTHER = b"first key", b"second key"


def line(names, key=KEY, kind="ssh-ed25519"):
    return f"{names} {kind} {base64.b64encode(key).decode()} a comment"


def vouches(lines, host, port=22, key=KEY):
    return keys_of(parse(lines), host, port).vouches_for("ssh-ed25519", key)


@pytest.mark.parametrize(
    ("names", "host", "port", "expected"),
    [
        ("10.20.1.11", "10.20.1.11", 22, True),
        ("10.20.1.11", "10.20.1.12", 22, False),
        ("10.20.1.11", "10.20.1.11", 2222, False),
        ("[10.20.1.11]:2222", "10.20.1.11", 2222, True),
        ("[10.20.1.11]:2222", "10.20.1.11", 22, False),
        ("lknode01,10.20.1.11", "10.20.1.11", 22, True),
        ("LKNODE01", "lknode01", 22, True),
        ("10.20.1.*", "10.20.1.11", 22, True),
        ("10.20.1.1?", "10.20.1.11", 22, True),
        ("10.20.1.*,!10.20.1.11", "10.20.1.11", 22, False),
        ("[127.0.0.1]:*", "127.0.0.1", 4711, True),
    ],
)
def test_names(names, host, port, expected):
    assert vouches([line(names)], host, port) is expected


def test_a_hashed_name():
    salt = bytes(range(20))
    digest = hmac.new(salt, b"[127.0.0.1]:2222", hashlib.sha1).digest()
    hashed = f"|1|{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"
    assert vouches([line(hashed)], "127.0.0.1", 2222)
    assert not vouches([line(hashed)], "127.0.0.1", 22)


def test_another_key_or_another_kind_of_key_is_not_vouched_for():
    assert not vouches([line("h")], "h", key=OTHER)
    assert not vouches([line("h", kind="ssh-rsa")], "h")
    assert vouches([line("h", OTHER), line("h")], "h")


def test_a_revoked_key_is_never_vouched_for():
    assert not vouches([line("h"), "@revoked " + line("*")], "h")
    assert vouches([line("h"), "@revoked " + line("*", OTHER)], "h")


def test_comments_authorities_and_broken_lines_vouch_for_nothing():
    assert keys_of(parse(["", "# note", "#" + line("h"), "@cert-authority " + line("h"), "h ssh-ed25519 ???", "h"]), "h", 22).keys == {}


def test_names_and_fingerprints_are_openssh_s():
    assert (entry_name("H", 22), entry_name("h", 2222)) == ("h", "[h]:2222")
    assert fingerprint(b"").startswith("SHA256:47DEQpj8HBSa") and not fingerprint(b"").endswith("=")
