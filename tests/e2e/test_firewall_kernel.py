"""The firewall evaluator says what the kernel does: random rulesets, and those of published reports, against real connections."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import firewall_rulesets
import pytest

from tests import deep_option

HERE = Path(__file__).parent
TOOLS = ("unshare", "ip", "nft", "iptables-restore", "iptables-legacy-restore")
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
RESET = 104
pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not all(shutil.which(tool, path=PATH) for tool in TOOLS), reason=f"needs root and {', '.join(TOOLS)}"
)


class Oracle:
    """A process with a kernel of its own, as far as the network goes."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def judge(self, load: dict[str, str], packets: list[list]) -> dict:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps({"load": load, "packets": packets}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, f"the oracle ended with {self.process.wait()}"
        return json.loads(line)


@contextmanager
def oracle() -> Iterator[Oracle]:
    words = ["unshare", "--net", "--mount", "--fork", "--kill-child", sys.executable, str(HERE / "firewall_kernel.py")]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "PATH": PATH}) as process:
        try:
            assert process.stdout and "ready" in process.stdout.readline(), "no namespaces can be made here"
            yield Oracle(process)
        finally:
            process.kill()


@pytest.fixture(scope="module")
def kernel() -> Iterator[Oracle]:
    with oracle() as one:
        yield one


def wrong(row: dict) -> bool:
    """Something else was heard than was said; where only the kind of refusal could not be told, that it was let through."""
    if row["what"] == "what follows the answer":  # it was open, and may have been reset before anybody looked
        return row["seen"] not in (0, RESET)
    if row["heard"]:
        return row["told"] != row["seen"]
    return row["passes"] is False and row["what"] == "the SYN" and row["seen"] == 0


def test_the_kernel_agrees_on_random_rulesets(kernel: Oracle) -> None:
    counts: Counter[str] = Counter()
    for seed in range(deep_option.number(60, 5250, "LKHARNESS_FIREWALL_RULESETS")):
        task = firewall_rulesets.task(seed)
        answer = kernel.judge(task["load"], task["packets"])
        if "refused" in answer:  # a ruleset that no kernel takes
            counts["refused"] += 1
            continue
        assert not answer["not_told"] + answer["words_not_told"], (seed, answer["not_told"], answer["words_not_told"])
        assert answer["from_words"] == [row["heard"] for row in answer["rows"]], (seed, "nft's words say something else than its JSON")
        for packet, row in zip(task["packets"], answer["rows"], strict=True):
            counts["packets"] += 1
            counts["cannot tell"] += not row["heard"]
            counts[f"heard {row['heard']}"] += 1
            assert not wrong(row), (seed, packet, row["heard"], row["decision"], row["seen"])
    print(dict(counts))
    assert counts["refused"] <= counts["packets"] / 20
    assert counts["cannot tell"] <= max(counts["packets"] * 0.05, 20)
    assert counts["heard answer"] > counts["packets"] / 10 < counts["heard silence"], (
        "rulesets that let all or nothing through prove little"
    )


def test_the_rule_that_is_named_is_one_that_the_packet_met(kernel: Oracle) -> None:
    """By the rules' own counters: one packet on a fresh ruleset, and the named rule has counted it."""
    looked = 0
    for seed in range(100_000, 100_000 + deep_option.number(25, 500, "LKHARNESS_FIREWALL_NAMED")):
        task = firewall_rulesets.task(seed, packets=1)
        answer = kernel.judge(task["load"], task["packets"])
        if "refused" in answer or not answer["rows"][0]["heard"]:
            continue
        (row,) = answer["rows"]
        counts = [packets_counted(answer["after"], rule) for rule in re.split(r"(?<=\)) or (?=`)", row["rule"])]
        counted = None if None in counts else sum(counts)
        if counted is not None:
            looked += 1
            assert counted > 0, (seed, row["rule"])
        else:
            assert "policy" in row["rule"] or row["rule"] == "no rule stops it" or "counter" not in row["rule"], row["rule"]
    assert looked >= 5


def packets_counted(listing: str, rule: str) -> int | None:
    """How often the named rule was met; None for a policy, and for a rule without a counter."""
    if found := re.search(r"\(table (\S+) (\S+), chain (\S+), handle (\d+)\)$", rule):
        for item in json.JSONDecoder().raw_decode(listing)[0]["nftables"]:
            about = item.get("rule", {})
            if [about.get(key) for key in ("family", "table", "chain")] == list(found.groups()[:3]) and str(about["handle"]) == found[4]:
                return next((part["counter"]["packets"] for part in about["expr"] if "counter" in part), None)
    if found := re.search(r"\(iptables(?:-legacy)? -t (\S+), rule (\d+) of (\S+)\)$", rule):
        (block,) = re.findall(rf"^\*{found[1]}\n(.*?)^COMMIT", listing, re.MULTILINE | re.DOTALL)
        lines = re.findall(rf"^\[(\d+):\d+\] -A {re.escape(found[3])}\b", block, re.MULTILINE)
        return int(lines[int(found[2]) - 1])
    return None


OWN = "table inet own {{\n chain in {{\n type filter hook {}; policy {};\n {}\n }}\n}}\n"
FIREWALLD = """table inet firewalld {
 chain filter_INPUT { type filter hook input priority filter + 10; policy accept;
  ct state { established, related } accept
  ct status dnat accept
  iifname "lo" accept
  ct state invalid drop
  jump filter_INPUT_POLICIES
  reject with icmpx admin-prohibited
 }
 chain filter_INPUT_POLICIES { iifname "eth0" goto filter_IN_public
  goto filter_IN_public
 }
 chain filter_IN_public { jump filter_IN_public_allow
  meta l4proto { icmp, ipv6-icmp } accept
 }
 chain filter_IN_public_allow { tcp dport 22 accept
  tcp dport 80 accept
 }
}
"""
LAST = """*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -m state --state RELATED,ESTABLISHED -j ACCEPT
-A INPUT -i lo -j ACCEPT
-A INPUT -p tcp -m state --state NEW -m tcp --dport 22 -j ACCEPT
-A INPUT -j REJECT --reject-with icmp-host-prohibited
COMMIT
"""
AGENT = """*security
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A OUTPUT -d 168.63.129.16/32 -p tcp -m tcp --dport 53 -j ACCEPT
{}COMMIT
"""
OF_ITS_NIC = "fib daddr . iif type != { local, broadcast, multicast }"
STRONG = f"table inet h {{ chain p {{ type filter hook prerouting priority mangle; iif != lo {OF_ITS_NIC} drop; }}; }}\n"
PROXIED = """*mangle
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A PREROUTING -p tcp -m tcp --dport 1521 -j TPROXY --on-port {} --on-ip 0.0.0.0 --tproxy-mark 0x1/0x1
COMMIT
"""
PROBE, LISTENER = ["168.63.129.16", 12345], ["10.9.1.20", 1521]
PUBLISHED = {
    "a last reject, iptables": ({"iptables-restore": LAST}, PROBE, "icmp host-prohibited", "-A INPUT -j REJECT"),
    "a last reject, the old iptables": ({"iptables-legacy-restore": LAST}, LISTENER, "icmp host-prohibited", "rule 4 of INPUT"),
    "nft lets the listener in, the old iptables does not": (
        {"nft": OWN.format("input priority 0", "accept", "tcp dport 1521 accept"), "iptables-legacy-restore": LAST},
        LISTENER, "icmp host-prohibited", "iptables-legacy -t filter, rule 4 of INPUT",
    ),
    "firewalld's last reject": ({"nft": FIREWALLD}, PROBE, "icmp admin-prohibited", "reject with icmpx admin-prohibited"),
    "firewalld lets the web in": ({"nft": FIREWALLD}, ["10.9.1.20", 80], "answer", "tcp dport 80 accept"),
    "udp is not tcp": ({"nft": OWN.format("input priority 0", "drop", "udp dport 12345 accept")}, PROBE, "silence", "policy drop"),
    "forwarded packets only": ({"nft": OWN.format("forward priority 0", "accept", "tcp dport 1521 drop")}, LISTENER, "answer", "no rule"),
    "the agent's table, of nft": (
        {"nft": "table ip security { chain OUTPUT { type filter hook output priority 50; ip daddr 168.63.129.16 drop; }; }"},
        PROBE, "silence", "ip daddr 168.63.129.16 drop",
    ),
    "the agent's table drops all": (
        {"iptables-restore": AGENT.format("-A OUTPUT -d 168.63.129.16/32 -p tcp -j DROP\n")}, PROBE, "silence", "rule 2 of OUTPUT",
    ),
    "the agent's table spares root's": (
        {"iptables-legacy-restore": AGENT.format(
            "-A OUTPUT -d 168.63.129.16/32 -p tcp -m owner --uid-owner 0 -j ACCEPT\n-A OUTPUT -d 168.63.129.16/32 -p tcp -j DROP\n"
        )},
        PROBE, "answer", "",
    ),
    "the agent's table as it is": (
        {"iptables-restore": AGENT.format("-A OUTPUT -d 168.63.129.16/32 -p tcp -m conntrack --ctstate INVALID,NEW -j DROP\n")},
        PROBE, "answer", "",
    ),
    "the VIP is not the NIC's own, by which it is asked": (
        {"nft": STRONG}, ["10.9.1.20", 80, "10.9.1.200"], "silence", "fib daddr . iif type != { local, broadcast, multicast } drop",
    ),
    "the NIC's own address is": ({"nft": STRONG}, ["10.9.1.20", 80], "answer", ""),
    "the way back is the way that it came": ({"nft": STRONG.replace(OF_ITS_NIC, "fib saddr . iif oif missing")}, PROBE, "answer", ""),
    "a proxy that is gone": ({"iptables-restore": PROXIED.format(15001)}, LISTENER, "silence", "rule 1 of PREROUTING"),
    "a proxy that is gone, the old iptables": ({"iptables-legacy-restore": PROXIED.format(15001)}, LISTENER, "silence", "TPROXY"),
    "a proxy that is gone, of nft": ({"nft": STRONG.replace(OF_ITS_NIC, "tcp dport 1521 tproxy ip to :15001")}, LISTENER, "answer", ""),
    "a word in quotes": (
        {"nft": OWN.format("input priority 0",
        "drop", 'ct state established accept\n log prefix "to drop: " accept')}, LISTENER, "answer", "",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_rulesets_of_published_reports(kernel: Oracle, name: str) -> None:
    load, packet, heard, rule = PUBLISHED[name]
    answer = kernel.judge(load, [packet])
    (row,) = answer["rows"]
    assert not wrong(row), (row, answer["listing"])
    assert row["heard"] == heard and rule in row["rule"]
