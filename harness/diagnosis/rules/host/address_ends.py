"""An address of a host's own that the kernel takes away soon, because nothing renews it, or that it does not use as a source any more."""

from __future__ import annotations

from collections.abc import Iterator

from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import Evidence

SOON_S = 600  # ordinary leases last for hours and are renewed half way; Azure's last for ever


def causes(evidence: Evidence) -> Iterator[Cause]:
    """Where a DHCP client runs it will renew it: nothing is said then."""
    cluster = evidence.cluster
    own = [(m.name, str(m.address)) for m in cluster.machines] + [(n.name, str(n.second_address)) for n in cluster.nodes]
    for name, address in own:
        host = evidence.hosts.get(name)
        if host is None or address not in host.address_lifetimes or host.renewing:
            continue
        valid_s, preferred_s = host.address_lifetimes[address]
        seen = f"`ip addr` on {name}: {address} has a valid_lft or preferred_lft that is not forever"
        if valid_s < SOON_S:
            yield Cause(
                f"{address} of {name} ends within ten minutes (valid_lft of `ip addr`), and nothing there renews it: then {name} is "
                "without that address",
                name,
                Certainty.LIKELY if host.renewing is not None else Certainty.POSSIBLE,
                "start what renews it again (a DHCP client: dhclient, systemd-networkd, NetworkManager), and see what ended it; until then "
                f"`ip addr change {address}/PREFIX dev NIC valid_lft forever preferred_lft forever` keeps it",
                (seen, *(["`ps` there: no DHCP client"] if host.renewing is not None else [])),
            )
        elif preferred_s == 0:
            yield Cause(
                f"{address} of {name} is deprecated (preferred_lft 0): what {name} begins has another source address, if it has one",
                name,
                Certainty.POSSIBLE,
                f"see who set that, and `ip addr change {address}/PREFIX dev NIC preferred_lft forever` if it is not meant",
                (seen,),
            )
