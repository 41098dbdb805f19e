"""LifeKeeper's settings (/etc/default/LifeKeeper) that differ between the nodes, or are rarely meant: facts LKL-35, LKL-41, LKL-53 to
LKL-59. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

HEARTBEAT = ("LCMHBEATTIME", "LCMNUMHBEATS")  # which must be equal on all nodes (LKL-35)
DEFAULTS = {"LCMHBEATTIME": 5.0, "LCMNUMHBEATS": 3.0}  # LKL-35
# Each switches a check of the IP resource off; what the check does in Azure where it runs (FAB-01, LKL-53, LKL-54).
IP_CHECKS = {
    "NOBCASTPING": "where it is 0 LifeKeeper pings the broadcast address, which nobody in a virtual network answers, so the IP resource "
    "fails there unless it has a list of addresses to ping",
    "NOIPUNIQUE": "where it is 0 LifeKeeper takes the address in service only if nobody else answers for it",
    "IP_NOLINKCHECK": "where it is 0 the IP resource fails when its check of the NIC's link does",
}
RARE_CHECKS_S = 3600.0
# LifeKeeper's own value (LKL-41); what is seldom; how many times as seldom on one node as on the other nobody means.
CHECK_INTERVAL_S, SELDOM_CHECKS_S, CHECKS_APART = 120.0, 600.0, 4
SETTING = re.compile(r"\s*(?:export\s+)?(?P<name>[A-Za-z_]\w*)=(?P<value>\"[^\"]*\"|'[^']*'|[^\s#]*)")


def of_lifekeeper(text: str) -> dict[str, str]:
    """From /etc/default/LifeKeeper: the last value of each name."""
    matches = (SETTING.match(line) for line in text.splitlines())
    return {match["name"]: match["value"].strip("\"'") for match in matches if match}


def file_state(text: str) -> str:
    """`read` or `absent`, as the host said behind what it printed of that file; empty where it said neither."""
    last = text.rstrip().rpartition("\n")[2]
    return last.removeprefix("# ") if last in ("# read", "# absent") else ""


def only_defaults_left(settings: Mapping[str, str]) -> list[str]:
    """The settings that count otherwise where the file has none: `NAME=VALUE`, of those that are judged here and are not LifeKeeper's own
    value."""
    defaults = {**DEFAULTS, **dict.fromkeys(IP_CHECKS, 0.0), "LKCHECKINTERVAL": CHECK_INTERVAL_S}
    numbers = {name: (_number(settings.get(name, ""), default), default) for name, default in defaults.items()}
    return [f"{name}={settings[name]}" for name, (value, default) in numbers.items() if value is not None and value != default]


def lifekeeper_heartbeats(settings: Mapping[str, Mapping[str, str]]) -> Iterator[tuple[str, str]]:
    """By node: which heartbeat setting is not the other node's, in words. What is absent has its default."""
    for name in HEARTBEAT:
        values = {node: _number(node_settings.get(name, ""), DEFAULTS[name]) for node, node_settings in settings.items()}
        if len(set(values.values())) > 1 and None not in values.values():
            listed_values = " and ".join(f"{value:g} on {node}" for node, value in values.items())
            odd = max(values, key=lambda node: values[node] or 0.0)
            yield odd, f"{name} is {listed_values}: it must be the same on all nodes, or one notices a dead peer long after the other"


def heartbeat_silence(settings: Mapping[str, str]) -> tuple[float, float] | None:
    """Seconds between LifeKeeper's heartbeats, and how many may be missed; None where neither is set, or is no number."""
    if not any(name in settings for name in HEARTBEAT):
        return None
    beat, number = (_number(settings.get(name, ""), DEFAULTS[name]) for name in HEARTBEAT)
    return None if beat is None or number is None else (beat, number)


def lifekeeper_ip_checks(settings: Mapping[str, Mapping[str, str]]) -> Iterator[tuple[str, str]]:
    """By node: which check of the IP resource runs there and not on the other node (LKL-53, LKL-54), in words."""
    for name, does in IP_CHECKS.items():
        values = {node: _number(node_settings.get(name, ""), 0.0) for node, node_settings in settings.items()}
        if None in values.values() or len({bool(value) for value in values.values()}) < 2:
            continue
        listed_values = " and ".join(f"{value:g} on {node}" for node, value in values.items())
        yield (
            next(node for node, value in values.items() if not value),
            f"{name} is {listed_values}: it must be the same on all nodes; {does}",
        )


def hc_timeout(settings: Mapping[str, str]) -> float | None:
    """HC_TIMEOUT in seconds, where it is set to a number."""
    return _number(settings.get("HC_TIMEOUT", ""), None)


def lifekeeper_checks(settings: Mapping[str, str]) -> float | None:
    """How often LifeKeeper looks at what is in service (LKL-41), in seconds, where that is so rarely that nobody can mean it to last."""
    interval = _number(settings.get("LKCHECKINTERVAL", ""), None)
    return interval if interval is not None and interval >= RARE_CHECKS_S else None


def lifekeeper_checks_apart(settings: Mapping[str, Mapping[str, str]]) -> tuple[str, str] | None:
    """The node that looks far more rarely than the other one at what is in service there, and that in words; what is absent has its
    default (LKL-41). What is rare by itself is told by itself (`lifekeeper_checks`)."""
    values = {node: _number(node_settings.get("LKCHECKINTERVAL", ""), CHECK_INTERVAL_S) for node, node_settings in settings.items()}
    known = {node: value for node, value in values.items() if value}
    if len(known) < 2 or len(known) < len(values):
        return None
    odd, least = max(known, key=lambda node: known[node]), min(known.values())
    if known[odd] < SELDOM_CHECKS_S or known[odd] >= RARE_CHECKS_S or known[odd] < CHECKS_APART * least:
        return None
    listed_values = " and ".join(f"{value:g} s on {node}" for node, value in known.items())
    return odd, f"LKCHECKINTERVAL is {listed_values}: what dies in service on {odd} is noticed that much later there"


def _number(text: str, absent: float | None) -> float | None:
    try:
        return float(text) if text else absent
    except ValueError:
        return None
