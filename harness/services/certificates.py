"""What a server's certificate says of its own end, and how certificates are checked. A certificate is judged where it was read: on Windows
each node has its own."""

from __future__ import annotations

import datetime
import ssl
from collections.abc import Mapping

from harness.config import service_settings
from harness.core.errors import BadUse
from harness.core.files import expand_user
from harness.core.finding import Finding, Weight

SETTINGS = {"ca_file", "certificate_name", "trust_certificate"}
MIN_DAYS_LEFT = 30


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


def why_not_trusted(error: ssl.SSLCertVerificationError, name: str) -> str:
    """What is wrong with a certificate, in words of a person."""
    if error.verify_code == 10:
        return "it has expired; put a new one on this node"
    if error.verify_code in (62, 64):
        return f"it is not for {name}: {error.verify_message}; clients that check will refuse it too"
    return f"{error.verify_message}; name the certificates that vouch for it in the cluster file, or say that it is not to be checked"
