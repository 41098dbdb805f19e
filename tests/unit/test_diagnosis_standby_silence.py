"""A standby that does not refuse for a reason of its own: that is told, and no security group beside it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from diagnosis_sample import CLUSTER, WEB, client, evidence, faults, node, only, swallowed, with_host

from harness.config.cluster_config import Design
from harness.diagnosis.cause import Certainty
from harness.diagnosis.engine import diagnose
from harness.diagnosis.evidence import Direct, Evidence
from harness.diagnosis.firewall import parse
from harness.diagnosis.host_config import ipsec_policy
from harness.hosts.linux.linux_parse import Route

CLIENT, OWN = "10.20.1.20", "10.20.1.12"
SHUT = [Direct("lkclient", "lknode02", s.port, "silent" if s is WEB else "refused") for s in CLUSTER.services]
BLOCK = "src 10.20.1.0/24 dst 10.20.1.12/32 proto tcp dport 80 \n\tdir in action block priority 0 \n"
SEALS = "src 10.20.1.20/32 dst 10.20.1.12/32 \n\tdir in priority 0 \n\ttmpl src 0.0.0.0 dst 0.0.0.0\n\t\tproto esp reqid 0 mode transport\n"
BY_PORT = {"chosen_routes": {(CLIENT, OWN, "sport 80"): Route("blackhole")}, "rules": ("700: from all sport 80 lookup 77",)}
MARKS = "table inet m {\nchain o {\ntype route hook output priority -150;\ntcp sport 80 meta mark set 0x66\n}\n}\n"
BY_MARK = {"chosen_routes": {(CLIENT, OWN, "mark 0x66"): Route("blackhole")}, "rules": ("300: from all fwmark 0x66 lookup 66",)}
FLOATING = CLUSTER.model_copy(update={"design": Design.FLOATING})
NO_RST = "*filter\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT -p tcp -m tcp --tcp-flags RST RST -j DROP\nCOMMIT\n"


def standby(**more: Any) -> Any:
    routes = more.pop("ways", {})
    seen = node("lknode02", **more)
    return replace(seen, routes={**seen.routes, **routes})


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"ways": {(CLIENT, OWN): Route("unicast", "eth0", hops=1)}}, ("hoplimit", CLIENT)),
        ({"neighbours": {CLIENT: "02:00:00:00:00:99"}}, ("02:00:00:00:00:99", "wrote down")),
        (BY_PORT, ("sport 80 lookup 77", "port 80 (web)")),
        (BY_MARK | {"firewall": parse(MARKS)}, ("fwmark 0x66", "web (port 80)")),
        ({"ipsec": ipsec_policy.parse(BLOCK)}, ("IPsec", "blocks")),
        ({"ipsec": ipsec_policy.parse(SEALS)}, ("IPsec", "wants encrypted")),
    ],
)
def test_what_keeps_the_standbys_refusals_back_is_told_and_no_security_group(told: dict[str, Any], words: tuple[str, ...]) -> None:
    seen = with_host(standby(**told), direct=SHUT)
    assert "NSG" not in only(seen, "lknode02", *words).says
    assert "NSG" in only(evidence(direct=SHUT), "lknode02").says


def test_of_marks_only_those_count_that_refusals_are_given() -> None:
    assert "NSG" in only(with_host(standby(**BY_MARK), direct=SHUT), "lknode02").says


def test_a_standby_without_the_vip_is_asked_for_its_own_address() -> None:
    """With floating IP on the VIP answers, once it is there: a rule for a port that is for any source will meet it."""
    told = faults(diagnose(replace(with_host(standby(**BY_PORT), direct=SHUT), cluster=FLOATING)))
    assert [c.host for c in told if "sport 80 lookup 77" in c.says] == ["lknode02"] and not [c for c in told if "NSG" in c.says]
    for_its_own = standby(**BY_PORT | {"rules": ("700: from 10.20.1.12 sport 80 lookup 77",)})
    assert not [c for c in faults(diagnose(replace(with_host(for_its_own), cluster=FLOATING))) if "policy rule" in c.says]
    one = node(
        "lknode01", chosen_routes={(CLIENT, "10.20.1.11", "sport 80"): Route("blackhole")}, rules=("700: from all sport 80 lookup 77",)
    )
    assert not [c for c in faults(diagnose(replace(with_host(one), cluster=FLOATING))) if "policy rule" in c.says]  # the VIP's way is right


def silent_from(*origins: str) -> list[Direct]:
    return [Direct(o, "lknode02", s.port, "silent") for o in origins for s in CLUSTER.services]


def test_hosts_that_send_no_rst_say_nothing_of_a_security_group() -> None:
    quiet = with_host(standby(firewall=parse(NO_RST)), direct=silent_from("lkclient", "lknode01"))
    assert faults(diagnose(quiet)) == []
    assert "NSG" in only(evidence(direct=silent_from("lkclient", "lknode01")), "lknode02").says
    deaf = client(firewall=parse(NO_RST.replace("OUTPUT", "INPUT")))
    assert faults(diagnose(with_host(deaf, direct=silent_from("lkclient")))) == []


HOPS = "table ip t {\nchain o {\ntype filter hook output priority 0;\nip daddr 10.20.1.20 ip ttl set 1\n}\n}\n"
OLD_HOPS = "*mangle\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT -d 10.20.1.20/32 -j TTL --ttl-set 1\nCOMMIT\n"


def answers_lost() -> list[Any]:
    return [replace(p, answers_left=True, ways=frozenset({"W?"})) for p in swallowed("client")]


@pytest.mark.parametrize("rules", [HOPS, OLD_HOPS])
def test_a_rule_that_sets_the_time_to_live_loses_answers(rules: str) -> None:
    cause = only(
        with_host(node("lknode01", firewall=parse(rules)), paths=answers_lost()), "lknode01", "time to live of 1", "client lkclient"
    )
    assert cause.certainty is Certainty.CERTAIN
    later = only(with_host(standby(firewall=parse(rules)), direct=SHUT), "lknode02", "time to live of 1")
    assert later.certainty is Certainty.LIKELY and "NSG" not in later.says
    for harmless in (rules.replace("set 1", "set 64"), rules.replace("10.20.1.20", "10.20.1.99")):
        assert faults(diagnose(with_host(node("lknode01", firewall=parse(harmless))))) == []


def test_a_clients_rule_that_sets_the_time_to_live_is_no_security_group() -> None:
    rules = "table ip t {\nchain o {\ntype filter hook output priority 0;\ntcp dport 80 ip ttl set 1\n}\n}\n"
    lost = {"outcome": "fail", "outcomes": frozenset({"silent"}), "ways": frozenset({"W8"}), "nodes": frozenset(), "answers_left": False}
    one_port = [replace(p, **lost) if p.service is WEB and p.path == "client" else p for p in evidence().paths]
    assert "NSG" not in only(with_host(client(firewall=parse(rules)), paths=one_port), "lkclient", "time to live of 1", "port 80").says


def test_evidence_is_that_of_a_sound_cluster() -> None:
    assert isinstance(evidence(), Evidence) and faults(diagnose(evidence())) == []
