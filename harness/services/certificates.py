"""What a server's certificate says of its own end, and how certificates are checked. A certificate is judged where it was read: on Windows
each node has its own."""

from __future__ import annotations

import datetime
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.config import service_settings
from harness.core.errors import BadUse
from harness.core.files import expand_user
from harness.core.finding import Finding, Weight
from harness.services.deadline_socket import quoted

if TYPE_CHECKING:
    from cryptography import x509

SETTINGS = {"ca_file", "certificate_name", "trust_certificate"}
MIN_DAYS_LEFT = 30
# OpenSSL's numbers of what is wrong (X509_V_ERR_…).
NOT_YET_VALID, EXPIRED, REVOKED = 9, 10, 23
NO_ISSUER = (20, 21)  # the one that made it was not found, there or in what was sent
UNKNOWN = (18, 19, *NO_ISSUER)  # signed by itself, or by a root that nobody vouches for
OTHER_NAME = (62, 64)


def context_of(settings: Mapping[str, str]) -> ssl.SSLContext:
    """Checks as the settings say: against `ca_file`, else what this machine trusts; `trust_certificate = "yes"` checks nothing.

    Raises BadUse for a file that is none.
    """
    trusts = service_settings.one_of(settings, "trust_certificate", ("yes", "no")) == "yes"
    ca_file = settings.get("ca_file")
    if trusts and ca_file:
        raise BadUse('settings ca_file and trust_certificate = "yes" are both given; keep one')
    try:
        context = ssl.create_default_context(cafile=str(expand_user(ca_file)) if ca_file else None)
    except (OSError, ssl.SSLError) as error:
        raise BadUse(f"ca_file {ca_file} cannot be read as certificates (PEM): {error.strerror or error}") from error
    if trusts:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def end_of(certificate: bytes) -> datetime.datetime:
    """The moment after which it is not valid any more. Raises ValueError for what is no certificate (DER)."""
    from cryptography import x509

    return x509.load_der_x509_certificate(certificate).not_valid_after_utc


def expiry(end: datetime.datetime, now: datetime.datetime, service: str) -> list[Finding]:
    """A finding for one that has expired or soon will."""
    do = "put a new one on each node, and bind it there: certificates do not move with the service"
    remaining = end - now
    end_text = f"{end:%Y-%m-%d %H:%M} UTC"
    if remaining.total_seconds() < 0:
        return [Finding(Weight.FAULT, service, "certificate", f"it expired on {end_text}", do, ("IIS-15",))]
    if remaining.days < MIN_DAYS_LEFT:
        return [Finding(Weight.NOTE, service, "certificate", f"it expires in {remaining.days} days, on {end_text}", do, ("IIS-15",))]
    return []


@dataclass(frozen=True)
class SentChain:
    """The server's own certificate (DER), and how many came with it, itself counted; None where this Python does not tell."""

    certificate: bytes
    number: int | None = None


def why_not_trusted(error: ssl.SSLCertVerificationError, name: str, sent: SentChain | None = None, ca_file: str = "") -> str:
    """What is wrong with a certificate, in words of a person. `sent` is what the server sent to who did not check it."""
    if error.verify_code == EXPIRED:
        return "it has expired; put a new one on this node"
    if error.verify_code in OTHER_NAME:
        return f"it is not for {name}: {error.verify_message}; clients that check will refuse it too"
    if error.verify_code == REVOKED:
        return "it was revoked; put a new one on this node"
    leaf = _read(sent)
    if error.verify_code == NOT_YET_VALID:
        return f"{error.verify_message}: {_start_text(leaf)}the clock of who made it, or of this machine, is wrong"
    if error.verify_code in NO_ISSUER and leaf is not None and leaf.issuer != leaf.subject:
        return f"{error.verify_message}: {_issuer_text(leaf, sent.number if sent else None, ca_file)}"
    if error.verify_code in UNKNOWN:
        return f"{error.verify_message}; name the certificates that vouch for it in the cluster file (ca_file)"
    return f"{error.verify_message}; clients that check will refuse it too: put one on this node that is right"


def _read(sent: SentChain | None) -> x509.Certificate | None:
    from cryptography import x509

    try:
        return x509.load_der_x509_certificate(sent.certificate) if sent is not None else None
    except ValueError:  # then it is told without what stands in it
        return None


def _start_text(leaf: x509.Certificate | None) -> str:
    now = datetime.datetime.now(datetime.UTC)
    if leaf is None or leaf.not_valid_before_utc <= now:  # or one that vouches for it is
        return ""
    return f"it is valid only from {leaf.not_valid_before_utc:%Y-%m-%d %H:%M} UTC on, and this machine has {now:%Y-%m-%d %H:%M} UTC; "


def _issuer_text(leaf: x509.Certificate, number: int | None, ca_file: str) -> str:
    """A leaf whose issuer was not found: browsers fetch it by themselves, other clients do not."""
    made_by = f"it was made by {quoted(leaf.issuer.rfc4514_string().encode())}"
    here = "the cluster file's ca_file" if ca_file else "this machine"
    if number == 1:
        return (
            f"{made_by}, whose certificate the server does not send and {here} does not have: let it send the chain (its certificate and "
            "those between it and the root), as clients that check need it too"
        )
    if number is not None:
        return f"{made_by}; of the chain that the server sends none is vouched for by {here}: name its root in the cluster file (ca_file)"
    return (
        f"{made_by}, and no chain from there leads to what {here} trusts: let the server send the chain (its certificate and those between "
        "it and the root), and name the root in the cluster file (ca_file)"
    )
