"""`lkharness check BUNDLE`: the archive of a broken lab has the same causes as a live look at it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from broken_clusters import FAULTS
from command_shell import Shell, one_sentence, shell_in

TOGETHER = {
    "places": [FAULTS["VIP /24"], FAULTS["both nodes listening"], FAULTS["rp_filter strict"]],
    "firewall and routes": [
        ("lknode02", "iptables -I INPUT -p tcp --dport 12345 -j DROP"),
        ("lknode01", "ip rule add from 10.20.1.11 to 168.63.129.16 lookup 77; ip route add default dev eth1 table 77"),
    ],
}


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    with shell_in(tmp_path / "state") as one:
        asleep = tmp_path / "asleep.toml"  # so that the stand-in's own checks do not mend what is broken here
        asleep.write_text("[lab.lifekeeper]\nLKCHECKINTERVAL = 86400.0\n")
        one.up("--file", asleep)
        yield one


@pytest.mark.parametrize("faults", TOGETHER)
def test_the_same_causes(shell: Shell, tmp_path: Path, faults: str) -> None:
    file, bundle = shell.labs / "lab" / "cluster.toml", tmp_path / "b.tar.gz"
    for host, line in TOGETHER[faults]:
        done = shell.lkharness("lab", "exec", host, "--", "sh", "-c", line)
        assert done.returncode == 0, done.stderr
    live = json.loads(shell.lkharness("check", "--json", "--cluster", file).stdout)
    done = shell.lkharness("collect", "--cluster", file, "--output", bundle)
    assert done.returncode == 0, done.stderr
    there = shell.lkharness("check", "--json", bundle)
    offline = json.loads(there.stdout)
    assert there.returncode == 1, there.stderr
    assert len(told(live)) >= len(TOGETHER[faults]) - 1, live["causes"]
    assert told(offline) == told(live)
    assert {(p["path"], p["service"], p["outcome"]) for p in offline["paths"]} == {
        (p["path"], p["service"], p["outcome"]) for p in live["paths"]
    }


def test_a_bundle_of_hosts_only_says_so(shell: Shell, tmp_path: Path) -> None:
    bundle = tmp_path / "b.tar.gz"
    assert shell.lkharness("collect", "--hosts-only", "--output", bundle).returncode == 0
    done = shell.lkharness("check", bundle)
    assert done.returncode == 0 and "paths were not tried" in done.stdout, done.stdout


def test_a_healthy_lab_has_no_cause(shell: Shell, tmp_path: Path) -> None:
    bundle = tmp_path / "b.tar.gz"
    assert shell.lkharness("collect", "--output", bundle).returncode == 0
    done = shell.lkharness("check", "--json", bundle)
    assert (done.returncode, told(json.loads(done.stdout))) == (0, set()), done.stdout


def test_bad_use(tmp_path: Path) -> None:
    with shell_in(tmp_path / "state") as shell:
        _bad_use(shell, tmp_path)


def _bad_use(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "no.tar.gz").write_text("nothing")
    for words, says in ((["no.tar.gz"], "is no bundle of"), (["no.tar.gz", "--cluster", "x.toml"], "a bundle holds its own")):
        done = shell.lkharness("check", *(str(tmp_path / w) if w.startswith("no") else w for w in words))
        one_sentence(done, 2)
        assert says in done.stderr


def told(found: dict) -> set[tuple[str, str]]:
    return {(c["host"], c["says"]) for c in found["causes"] if c["certainty"] != "possible"}
