"""The diagnosis of what passes between the nodes: who is shut out at the standby, long packets, and clients whose names are looked up."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from diagnosis_sample import CLUSTER, client, drop, evidence, faults, listening, nft, node, only, paths

from harness.core.finding import Finding, Weight
from harness.diagnosis.cause import Certainty
from harness.diagnosis.engine import diagnose
from harness.diagnosis.evidence import Direct, Evidence
from harness.diagnosis.firewall import parse
from harness.diagnosis.linux_host_script_parse import host


def denied(*origins: str, port: int = 0, **hosts: Any) -> Evidence:
    ports = [s.port for s in CLUSTER.services if not port or s.port == port]
    told = [Direct(o, "lknode02", p, "silent" if p in ports else "refused") for o in origins for p in ports]
    base = {"lknode01": node("lknode01"), "lknode02": node("lknode02"), "lkclient": client()}
    return evidence(direct=told, hosts=base | hosts)


def test_a_standby_whose_security_group_denies_the_other_node() -> None:
    words = "NSG) at lknode02 denies lknode01 port 1521 (listener), 5432 (database), 80 (web)"
    (cause,) = diagnose(denied("lknode01")).causes
    assert (cause.host, cause.certainty) == ("lknode02", Certainty.POSSIBLE)  # a service may be shut to the other node on purpose
    assert words in cause.says and "after a failover lknode01 could not" in cause.says
    only(denied("lkclient", "lknode01"), "lknode02", "denies lkclient and lknode01 port 1521", "clients would get no answer")
    out = node("lknode01", firewall=parse(nft(drop("ip", "daddr", "10.20.1.12"), hook="output")))
    assert not [c for c in diagnose(denied("lknode01", lknode01=out)).causes if "NSG" in c.says]  # it does not leave
    for away in ({"firewall": None}, {"routes": {}}):
        assert faults(diagnose(denied("lknode01", lknode01=node("lknode01", **away)))) == [], away
    back = node("lknode02")
    routes = {key: replace(route, interface="eth1") if key[0] == "10.20.1.11" else route for key, route in back.routes.items()}
    told = diagnose(denied("lknode01", lknode02=replace(back, routes=routes)))
    assert not [c for c in told.causes if "NSG" in c.says]  # its refusals do not come back
    lost = Finding(Weight.UNREACHABLE, "lknode02", "log-in", "it does not answer", "see that it runs")
    assert not [c for c in diagnose(replace(denied("lknode01"), findings=(lost,))).causes if "NSG" in c.says]


def echoes(of: str, text: str, **more: Any) -> Evidence:
    seen = host(of, f"@@ large\n{text}\n")
    hosts = {"lknode01": node("lknode01"), "lknode02": node("lknode02"), "lkclient": client(mtus={"eth0": 1500})}
    hosts[of] = replace(hosts[of], large=seen.large, jumbo=seen.jumbo)
    return evidence(hosts={name: replace(one, **more.get(name, {})) for name, one in hosts.items()})


def test_what_is_long_and_lost_between_the_nodes_second_nics() -> None:
    lost = "10.20.1.12 1 1 1500\n10.20.2.12 1 0 1500"
    only(echoes("lknode01", lost), "lknode01", "MTU", "10.20.2.12, Subnet#2", "what the nodes send each other")
    for harmless in ("10.20.2.12 1 1 1500", "10.20.2.12 0 0 1500", "10.20.2.12 1 0"):
        assert faults(diagnose(echoes("lknode01", harmless))) == [], harmless
    tunnel = {"lknode02": {"mtus": {"eth0": 1500, "eth1": 1400}}}  # beyond an end's own MTU it is lost by right
    assert faults(diagnose(echoes("lknode01", "10.20.2.12 1 0 1500", **tunnel))) == []


def test_jumbo_frames_that_the_network_does_not_carry() -> None:
    long = {"mtus": {"eth0": 9000, "eth1": 1500}}
    lost = "10.20.1.12 1 1 1500\n10.20.1.12 1 0 9000"
    cause = only(echoes("lknode01", lost, lknode01=long, lknode02=long), "lknode01", "MTU", "9000", "does not carry")
    assert "1500" in cause.do
    assert not [c for c in faults(diagnose(echoes("lknode01", lost, lknode01=long))) if "lost between" in c.says]  # the other end has 1500
    # Of a host that was not asked, or is no Linux, nobody knows that it takes longer ones than usual.
    to_the_client = "10.20.1.20 1 1 1500\n10.20.1.20 1 0 9000"
    assert faults(diagnose(echoes("lknode01", to_the_client, lknode01=long, lknode02=long, lkclient={"mtus": {}}))) == []
    carried = echoes("lknode01", "10.20.1.12 1 1 1500\n10.20.1.12 1 1 9000", lknode01=long, lknode02=long)
    assert faults(diagnose(carried)) == []


def looked_up(times: str, hung: bool) -> Evidence:
    text = f"@@ names\n# 127.0.0.1 3 0\n{times}\n@@ resolver\nnameserver 10.20.1.54\nhosts: files dns\n"
    seen = host("lknode01", text)
    words = "did not complete PostgreSQL's login within 10 s"
    told = [
        replace(p, outcome="fail", hung=True, identity=f"10.20.1.200: {words}")
        if hung and p.service.kind == "postgres" and p.path == "client"
        else p
        for p in paths()
    ]
    one = node("lknode01", slow_names=seen.slow_names, resolver=seen.resolver)
    return evidence(paths=told, hosts={"lknode01": one, "lknode02": node("lknode02"), "lkclient": client()})


def test_a_service_that_hangs_while_its_clients_names_are_looked_up_in_vain() -> None:
    late = "# by:10.20.1.20 2003 124\n# by:10.20.1.12 4 0"
    cause = only(
        looked_up(late, hung=True),
        "lknode01",
        "looked up slowly on lknode01 (10.20.1.20)",
        "10.20.1.20: 2.0 s",
        "10.20.1.54",
        "database (port 5432)",
        "then given up",
    )
    assert cause.certainty is Certainty.LIKELY
    assert [c.certainty for c in diagnose(looked_up(late, hung=False)).causes] == [Certainty.POSSIBLE]
    slow = looked_up(late, hung=True)
    ports = [12345, *(s.port for s in CLUSTER.services)]
    stopped = replace(slow.hosts["lknode01"], listeners=[listening(p, pid=p) for p in ports], processes={5432: "T"})
    (certain,) = faults(diagnose(replace(slow, hosts={**slow.hosts, "lknode01": stopped})))
    assert "stopped" in certain.says and "looked up" not in certain.says
    quick = "# by:10.20.1.20 40 2\n# by:10.20.1.12 2003 124"  # unknown, and at once; another's that is slow
    (own,) = faults(diagnose(looked_up(quick, hung=True)))
    assert "takes connections and does not serve them" in own.says
