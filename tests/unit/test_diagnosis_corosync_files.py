"""The diagnosis of Corosync's files: keys and settings that the two nodes have otherwise, or that one lacks."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from typing import Any

import pytest
from diagnosis_sample import CLUSTER, both, evidence, faults, node, only, with_host

from harness.diagnosis.cause import Certainty
from harness.diagnosis.engine import diagnose
from harness.diagnosis.evidence import Evidence
from harness.diagnosis.linux_host_script_parse import host
from harness.managers.kinds.pacemaker import Pacemaker
from harness.managers.pacemaker_survey import ABSENT
from harness.managers.parse import corosync_parse

KEY = "/etc/corosync/authkey"
CONF = """# a comment: with a colon
totem {
  version: 2
  transport: knet
  crypto_cipher: aes256
  interface {
    linknumber: 0
    mcastport: 5405
  }
}
nodelist {
  node {
    nodeid: 1
    name: lknode01
    ring0_addr: 10.20.1.11
  }
  node {
    name: lknode02
    nodeid: 2
    ring0_addr: lknode02
  }
}
quorum {
  provider: corosync_votequorum
  two_node: 1
}
"""


def key_of(text: str) -> dict[str, str]:
    return dict(host("it", f"@@ keys\n{text}\n").keys)


def test_another_key_of_corosync_is_told_where_it_seals() -> None:
    one, other = key_of(f"0123456789abcdef  {KEY}"), key_of(f"fedcba9876543210  {KEY}")
    assert one == {KEY: "0123456789abcdef"} and key_of("sha256sum: nothing") == {}
    sealed = corosync_parse.parse(CONF)
    cause = only(both(keys=(one, other), corosync=(sealed, sealed)), "lknode02", KEY, "different", "next start")
    assert cause.certainty is Certainty.LIKELY
    for keys in ((one, one), (one, {}), ({}, other)):
        assert faults(diagnose(both(keys=keys, corosync=(sealed, sealed)))) == []
    for text in (CONF.replace("aes256", "none"), CONF.replace("crypto_cipher: aes256", "secauth: off"),
                 CONF.replace("crypto_cipher: aes256", "keyfile: /etc/k")):  # fmt: skip
        unsealed = corosync_parse.parse(text)
        assert not [c for c in diagnose(both(keys=(one, other), corosync=(unsealed, unsealed))).causes if "key" in c.says]
    (default,) = [c for c in diagnose(both(keys=(one, other))).causes if KEY in c.says]
    assert default.certainty is Certainty.POSSIBLE, "whether the key is used was not told"


def test_a_file_of_corosync_that_one_node_lacks_is_told() -> None:
    here, gone = key_of(f"0123456789abcdef  {KEY}"), key_of(f"absent {KEY}")
    sealed, unsealed = corosync_parse.parse(CONF), corosync_parse.parse(CONF.replace("aes256", "none"))
    assert only(both(keys=(here, gone), corosync=(sealed, sealed)), "lknode02", f"{KEY} is not there").certainty is Certainty.LIKELY
    only(both(keys=(gone, here), corosync=(sealed, sealed)), "lknode01", f"{KEY} is not there on lknode01")
    conf = key_of("absent /etc/corosync/corosync.conf")
    only(both(keys=(here, here | conf), corosync=(sealed, {})), "lknode02", "corosync.conf is not there")
    for keys, settings in (
        ((gone, gone), sealed),
        (({}, gone), sealed),
        ((here, gone), unsealed),
        ((here, {}), sealed),
        ((conf, conf), {}),
    ):
        assert faults(diagnose(both(keys=keys, corosync=(settings, settings)))) == []


def test_how_a_host_tells_of_a_file_of_corosync_that_is_not_there(tmp_path: Any) -> None:
    (tmp_path / "authkey").write_text("it")
    text = ABSENT.replace("/etc/corosync", str(tmp_path))
    told = subprocess.run(["sh", "-c", text], capture_output=True, text=True)
    assert told.stdout == f"absent {tmp_path}/corosync.conf\n" and told.returncode == 0
    assert subprocess.run(["sh", "-c", text.replace(str(tmp_path), f"{tmp_path}/none")], capture_output=True, text=True).stdout == ""


def test_the_key_of_remote_nodes_is_worth_a_look_only() -> None:
    place = "/etc/pacemaker/authkey"
    told = diagnose(both(keys=({place: "0" * 16}, {place: "1" * 16})))
    assert [c.certainty for c in told.causes if place in c.says] == [Certainty.POSSIBLE]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("transport: knet", "transport: udpu", "totem.transport is knet on lknode01 and udpu on lknode02"),
        ("10.20.1.11", "10.20.1.61", "node 1 ring0_addr is 10.20.1.11 on lknode01 and 10.20.1.61"),
        ("two_node: 1", "two_node: 0", "quorum.two_node is 1"),
        ("nodeid: 2", "nodeid: 3", "nodes 1, 2"),
        ("ring0_addr: lknode02", "ring0_addr: 10.20.1.12", ""),
        ("mcastport: 5405", "mcastport: 5407", ""),
        ("two_node: 1", "", "differ: quorum.two_node is 1 on lknode01 and not set on lknode02; lknode02 may"),
        (
            "transport: knet",
            "transport: knet\ntoken: 30000",
            "totem.token is not set on lknode01 and 30000 on lknode02; lknode02 would not wait",
        ),
        ("transport: knet", "transport: knet\ntoken: 3000", ""),  # the default of many versions
        ("transport: knet", "transport: knet\nconsensus: 3600", ""),  # whose default hangs on the token
        ("two_node: 1", "two_node: 1\nwait_for_all: 1\nexpected_votes: 2", ""),
        ("two_node: 1", "two_node: 1\nexpected_votes: 3", "quorum.expected_votes is not set on lknode01 and 3"),
        ("ring0_addr: lknode02", "ring0_addr: lknode02\nring1_addr: 10.20.2.12", "node 2 ring1_addr is not set on lknode01"),
        ("# a comment: with a colon", "# transport: udpu\nlogging {\n debug: on\n}", ""),
    ],
)
def test_settings_of_corosync_that_differ(old: str, new: str, says: str) -> None:
    ours, theirs = (host("it", f"@@ corosync\n{text}").corosync for text in (CONF, CONF.replace(old, new)))
    assert ours["node 1 ring0_addr"] == "10.20.1.11" and ours["totem.crypto_cipher"] == "aes256"
    told = both(corosync=(ours, theirs))
    if says:
        only(told, "lknode02", says)
    assert faults(diagnose(told)) == [] or says
    assert faults(diagnose(both(corosync=(ours, {})))) == []


RUNS = """runtime.config.totem.token (u32) = %s
runtime.config.totem.consensus (u32) = %s
"""
RAISED = CONF.replace("transport: knet", "transport: knet\ntoken: 30000\nconsensus: 36000")


def running(conf: str, *figures: tuple[str, str]) -> Evidence:
    texts = [f"@@ corosync\n{conf}\n@@ corosync runs\n{RUNS % pair if pair[0] else 'Failed to initialize'}" for pair in figures]
    one, other = (host("it", text) for text in texts)
    return both(corosync=(one.corosync, other.corosync), corosync_runs=(one.corosync_runs, other.corosync_runs))


def test_a_file_that_corosync_has_not_read_again() -> None:
    cause = only(
        running(RAISED, ("1000", "1200"), ("1000", "1200")),
        "lknode02",
        "token 30000 on both nodes, and Corosync runs with 1000 on lknode01 and lknode02: it was not read again",
        "given up after 2.2 s now",
        "corosync-cfgtool -R",
    )
    assert cause.certainty is Certainty.LIKELY
    only(running(RAISED, ("1000", "1200"), ("30000", "36000")), "lknode01", "runs with 1000 on lknode01:")
    only(running(RAISED, ("30000", "1200"), ("30000", "1200")), "lknode02", "consensus 36000", "runs with 1200", "after 31.2 s now")
    only(running(RAISED, ("1000", "1200"), ("", "")), "lknode01", "runs with 1000 on lknode01:")
    third = RAISED.replace("nodelist {", "nodelist {\nnode {\nnodeid: 3\nring0_addr: 10.20.1.13\n}")
    for conf, figures in (
        (RAISED, ("30000", "36000")),
        (RAISED, ("", "")),
        (CONF, ("1000", "1200")),  # nothing is written down
        (third, ("30650", "36780")),  # to which the coefficient was added
        (RAISED.replace("30000", "many").replace("consensus: 36000", ""), ("1000", "1200")),
    ):
        assert faults(diagnose(running(conf, figures, figures))) == [], figures
    apart = running(RAISED, ("1000", "1200"), ("1000", "1200"))
    for other in (CONF, RAISED.replace("30000", "20000").replace("36000", "24000")):
        hosts = {**apart.hosts, "lknode02": replace(apart.hosts["lknode02"], corosync=corosync_parse.parse(other))}
        assert not [c for c in diagnose(replace(apart, hosts=hosts)).causes if "was not read again" in c.says]  # that differs is told


def test_no_key_leaves_a_host() -> None:
    lines = Pacemaker(CLUSTER, {}).survey_commands()
    assert KEY in lines["keys"] and "cat" not in lines["keys"]
    kept = lines["corosync"][lines["corosync"].index("| sed") :]
    line = f"printf '%s\\n' '  key: c2VjcmV0' '  keyfile: /k' {kept}"
    text = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True).stdout
    assert text.startswith("  key: -\n  keyfile: /k\n") and "c2VjcmV0" not in text


def test_wait_for_all_that_was_switched_off_in_a_pair() -> None:
    off = {"quorum.two_node": "1", "quorum.wait_for_all": "0"}
    fenced = {"option stonith-enabled": "true", "fence agent fence": "/usr/sbin/fence_azure_arm"}

    def told(units: dict[str, str]) -> Evidence:
        return evidence(hosts={name: node(name, corosync=off, units=units) for name in ("lknode01", "lknode02")})

    assert only(told(fenced), "lknode02", "wait_for_all", "lknode01 and lknode02").certainty is Certainty.LIKELY
    only(told(fenced | {"fence delay fence": "pcmk_delay_base=15s", "option stonith-enabled": "false"}), "lknode02", "wait_for_all")
    for meant in (
        {"fence delay fence": "pcmk_delay_max=30"},
        {"option priority-fencing-delay": "15s"},
        {"fence agent sbd": "/usr/sbin/external/sbd"},
        {"option stonith-watchdog-timeout": "10"},
    ):
        (cause,) = diagnose(told(fenced | meant)).causes
        assert cause.certainty is Certainty.POSSIBLE and next(iter(meant.values())) in str(cause.evidence), meant
    assert [c.certainty for c in diagnose(told({})).causes] == [Certainty.POSSIBLE]  # the configuration was not told
    only(told(fenced | {"option priority-fencing-delay": "0s"}), "lknode02", "wait_for_all")
    for harmless in ({"quorum.two_node": "1"}, {"quorum.wait_for_all": "0"}, {**off, "quorum.wait_for_all": "1"}):
        assert faults(diagnose(with_host(node("lknode02", corosync=harmless)))) == []


def test_nodes_of_corosync_without_a_number_or_a_name_are_told_apart_by_their_addresses() -> None:
    def listed(*addresses: str) -> str:
        return "nodelist {\n" + "".join(f"node {{\nring0_addr: {a}\n}}\n" for a in addresses) + "}\n"

    one, other = (corosync_parse.parse(listed(*these)) for these in (("10.0.0.4", "10.0.0.5"), ("10.0.0.5", "10.0.0.4")))
    assert [*corosync_parse.differences(one, other)] == []
    assert [*corosync_parse.differences(one, corosync_parse.parse(listed("10.0.0.4", "10.0.0.6")))]
    odd = corosync_parse.parse("nodelist {\nnode {\nnodeid:\n: x\n}\n}\n")
    assert [*corosync_parse.differences(odd, one)] == []


def of_both(text: str) -> Any:
    settings = corosync_parse.parse(text)
    return both(corosync=(settings, settings))


def test_an_address_that_both_files_have_and_its_node_has_not() -> None:
    text = CONF.replace("ring0_addr: lknode02", "ring0_addr: 10.20.1.62")
    cause = only(of_both(text), "lknode02", "10.20.1.62 for lknode02 (ring0_addr)", "no such address", "next start")
    assert cause.certainty is Certainty.LIKELY
    for right in ("10.20.1.12", "10.20.2.12", "lknode02", "vm2.example"):
        assert faults(diagnose(of_both(CONF.replace("ring0_addr: lknode02", f"ring0_addr: {right}")))) == [], right
    assert faults(diagnose(of_both(text.replace("name: lknode02", "name: lknode03")))) == []  # of which nothing was told
    untold = of_both(text)
    hosts = {**untold.hosts, "lknode02": node("lknode02", addresses=None, corosync=untold.hosts["lknode02"].corosync)}
    assert not [c for c in faults(diagnose(replace(untold, hosts=hosts))) if "10.20.1.62" in c.says]


def test_a_transport_that_no_network_of_azure_carries() -> None:
    only(of_both(CONF.replace("transport: knet", "transport: udp")), "lknode02", "transport", "udp", "multicast")
    for transport in ("udpu", "knet", "sctp"):
        assert faults(diagnose(of_both(CONF.replace("transport: knet", f"transport: {transport}")))) == [], transport
