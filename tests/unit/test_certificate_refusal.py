"""Why a certificate is not trusted, in words: a clock, a chain that is not sent, a root that nobody knows; and no advice not to check."""

from __future__ import annotations

import datetime as dt
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from harness.core.deadline import Deadline
from harness.services import certificates, service_registry
from harness.services.certificates import SentChain, why_not_trusted
from harness.services.service_kind import WrongAnswer

NOW = dt.datetime.now(dt.UTC)
Made = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]


def made(name: str, by: Made | None = None, begins: dt.datetime = NOW - dt.timedelta(days=9)) -> Made:
    key, subject = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    issuer, signs = (by[0].subject, by[1]) if by else (subject, key)
    leaf = name == "shop.example"
    builder = (
        x509.CertificateBuilder(subject_name=subject, issuer_name=issuer, public_key=key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + dt.timedelta(days=99))
        .add_extension(x509.BasicConstraints(ca=not leaf, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name.replace(" ", "-"))]), critical=False)
    )
    return builder.sign(signs, hashes.SHA256()), key


def pem(*those: Made, key: Made | None = None) -> bytes:
    text = b"".join(one.public_bytes(serialization.Encoding.PEM) for one, _ in those)
    private = key[1] if key else None
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return text + (private.private_bytes(serialization.Encoding.PEM, *form) if private else b"")


def refused(code: int, message: str = "it is wrong") -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(message)
    error.verify_code, error.verify_message = code, message
    return error


def der(one: Made) -> bytes:
    return one[0].public_bytes(serialization.Encoding.DER)


def asked(folder: Path, sends: bytes, ca_file: bytes) -> str:
    """What is said of a server that sends these, by who trusts that."""
    (folder / "server.pem").write_bytes(sends)
    (folder / "ca.pem").write_bytes(ca_file)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")

    def serve() -> None:
        for _ in range(2):
            sock, _ = listener.accept()
            with suppress(ssl.SSLError, ConnectionError):  # the first is broken off by who checks
                context.wrap_socket(sock, server_side=True).close()

    settings = {"tls": "yes", "certificate_name": "shop.example", "ca_file": str(folder / "ca.pem")}
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        listener.settimeout(60)
        port, ended = listener.getsockname()[1], pool.submit(serve)
        with pytest.raises(WrongAnswer, match="certificate is not to be trusted") as said:
            service_registry.kind("http").who_are_you("127.0.0.1", port, settings=settings, deadline=Deadline(60))
        ended.result()
    return str(said.value)


def test_a_server_that_does_not_send_its_chain(tmp_path: Path) -> None:
    root = made("a root")
    between = made("an intermediate", root)
    leaf = made("shop.example", between)
    says = asked(tmp_path, pem(leaf, key=leaf), pem(root))
    assert "it was made by 'CN=an intermediate'" in says and "let" in says and "send the chain" in says
    other = made("another root")
    assert "(ca_file)" in asked(tmp_path, pem(leaf, between, key=leaf), pem(other))


def test_a_certificate_that_is_not_valid_yet_is_a_matter_of_clocks(tmp_path: Path) -> None:
    root = made("a root")
    later = made("shop.example", root, begins=NOW + dt.timedelta(days=2))
    says = asked(tmp_path, pem(later, key=later), pem(root))
    assert f"valid only from {NOW + dt.timedelta(days=2):%Y-%m-%d %H:%M} UTC on, and this machine has {NOW:%Y-%m-%d}" in says
    assert "clock" in says and "ca_file" not in says


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (1, "whose certificate the server does not send and the cluster file's ca_file does not have: let it send the chain"),
        (2, "of the chain that the server sends none is vouched for by the cluster file's ca_file"),
        (None, "no chain from there leads to what the cluster file's ca_file trusts: let the server send the chain"),
    ],
)
def test_what_is_known_of_the_chain_is_told(number: int | None, words: str) -> None:
    leaf = made("shop.example", made("an intermediate"))
    for code in certificates.NO_ISSUER:
        assert words in why_not_trusted(refused(code), "shop.example", SentChain(der(leaf), number), "ca.pem")
    assert "what this machine trusts" in why_not_trusted(refused(20), "shop.example", SentChain(der(leaf)))


@pytest.mark.parametrize("code", [*range(2, 35), 62, 64, 66, 67, 68, 79])
def test_nothing_is_mended_by_not_checking(code: int) -> None:
    own = made("shop.example")
    for sent in (None, SentChain(b"no certificate"), SentChain(der(own), 1)):
        says = why_not_trusted(refused(code), "shop.example", sent)
        assert "not to be checked" not in says and "trust_certificate" not in says and "made by" not in says
        assert says.strip() and "()" not in says
    assert "revoked" in why_not_trusted(refused(certificates.REVOKED), "shop.example")
