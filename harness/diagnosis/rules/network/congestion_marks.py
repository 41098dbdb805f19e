"""SYNs that ask for explicit congestion notification (ECN), where a rule takes that for an attack."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import Evidence, PathSeen
from harness.diagnosis.firewall import evaluate
from harness.diagnosis.required_flows import join_names

ASKS_FOR_ECN = ("syn", "ecn", "cwr")  # the flags of such a SYN


def causes(evidence: Evidence) -> Iterator[Cause]:
    """The causes of this family that the evidence supports."""
    for (node, rule), paths in stopped_by_marks(evidence).items():
        origins = join_names(p.origin for p in paths)
        asks = [
            n for n in dict.fromkeys(p.origin for p in paths) if n in evidence.hosts and evidence.hosts[n].sysctls.get("tcp_ecn") == "1"
        ]
        lost = [p for p in paths if p.outcome != "pass"]
        yield Cause(
            f"its own firewall stops connections that ask for ECN (explicit congestion notification), by {rule}: the first SYN of what "
            f"{origins} send{'s' if len({p.origin for p in paths}) == 1 else ''} is lost, and one without that would pass; Linux sends "
            "such a one a second later, so connections fail or begin late",
            node,
            Certainty.CERTAIN if asks and lost else Certainty.LIKELY,
            f"take the rule away: ECN is no attack, and many systems ask for it; until then `sysctl net.ipv4.tcp_ecn=2` on {origins}",
            (
                f"{node}'s ruleset, evaluated for a SYN with the flags ECE and CWR: dropped; for one without them: let through",
                *(f"net.ipv4.tcp_ecn on {name}: 1" for name in asks),
                *(
                    f"the packet captures and the attempts: {p.path} to port {p.service.port}: {', '.join(sorted(p.outcomes))}"
                    for p in lost
                ),
            ),
            "" if asks else f"`sysctl net.ipv4.tcp_ecn` on {origins} decides: 1 asks for it",
            explains=tuple(p.name for p in lost),
        )


def stopped_by_marks(evidence: Evidence) -> dict[tuple[str, str], list[PathSeen]]:
    """By node and rule, the paths whose SYNs ask for explicit congestion notification (RFC 3168) and are stopped for that, by a rule that
    takes it for an attack. Linux asks again without it after a second, so that some attempts, or all that wait so long, are answered."""
    stopped: dict[tuple[str, str], list[PathSeen]] = {}
    for path in evidence.paths:
        (node, *more) = sorted(path.nodes) or [""]
        host, firewall, origin = evidence.hosts.get(node), evidence.firewalls.get(node), evidence.hosts.get(path.origin)
        asks = origin.sysctls.get("tcp_ecn") if origin is not None else None
        swallowed = path.silent and not path.answers_left
        if more or host is None or host.firewall is None or firewall is None or not (asks == "1" or (asks is None and swallowed)):
            continue
        for fate in firewall.fates:
            if path.name not in fate.needed.explains or fate.needed.first.hook != "input" or not fate.opening.passes:
                continue
            marked = evaluate(host.firewall, replace(fate.needed.first, flags=ASKS_FOR_ECN))
            if marked.passes is False:
                stopped.setdefault((node, marked.rule), []).append(path)
    return stopped


def is_stopped_by_marks(evidence: Evidence, path: PathSeen) -> bool:
    """Is this one of them?"""
    return any(path in paths for paths in stopped_by_marks(evidence).values())
