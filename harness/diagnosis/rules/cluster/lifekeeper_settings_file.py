"""LifeKeeper's settings file that one node lacks, or that is empty there: a reinstallation, or what a package left as `.rpmsave`."""

from __future__ import annotations

from collections.abc import Iterator

from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import Evidence
from harness.diagnosis.host_config.lifekeeper_settings import IP_CHECKS, only_defaults_left
from harness.diagnosis.required_flows import join_names

FILE = "/etc/default/LifeKeeper"  # facts LKL-01


def causes(evidence: Evidence) -> Iterator[Cause]:
    """Told where the other node sets something that matters; a file with other values is compared elsewhere."""
    for node, host in evidence.nodes:
        peer = evidence.hosts.get(evidence.cluster.peer_of(node.name).name)
        if evidence.moved or peer is None or host.settings or host.settings_file not in ("read", "absent"):
            continue
        lacking = only_defaults_left(peer.settings)
        if not lacking:
            continue
        names = [setting.partition("=")[0] for setting in lacking]
        checks = [f"{name}: {IP_CHECKS[name]}" for name in names if name in IP_CHECKS]
        what = "is not there" if host.settings_file == "absent" else "has no setting"
        yield Cause(
            f"{FILE} of {node.name} {what}, and {peer.name} sets {join_names(lacking)}: on {node.name} LifeKeeper's own values count"
            f"{f' ({checks[0]})' if checks else ''}",
            node.name,
            Certainty.LIKELY,
            f"put the file back on {node.name} as it is on {peer.name} (or from a .rpmsave or .dpkg-old beside it); settings of the "
            "IP resource count from its next check on, heartbeats when LifeKeeper is started next, which takes services down",
            (
                f"{FILE} on {node.name}: {'absent' if host.settings_file == 'absent' else 'read, and nothing is set'}",
                *(f"{FILE} on {peer.name}: {setting}" for setting in lacking),
            ),
        )
