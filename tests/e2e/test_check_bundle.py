"""`lkharness check BUNDLE`: the archive of a broken lab has the same causes as a live look at it."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from broken_clusters import FAULTS
from command_shell import Shell, one_sentence, shell_in

from harness.core.deadline import Deadline

# What is broken, and what one of its causes must say. One fault hides no other, so one lab has them all.
TOGETHER = (
    (FAULTS["VIP /24"], "10.20.1.200 has the prefix /24"),
    (FAULTS["both nodes listening"], "on every node, whatever the node's role"),
    (("lknode02", "iptables -I INPUT -p tcp --dport 12345 -j DROP"), "its own firewall drops the probe from 168.63.129.16"),
    (
        ("lknode01", "ip rule add from 10.20.1.11 to 168.63.129.16 lookup 77; ip route add default dev eth1 table 77"),
        "is routed out of eth1 by the policy rule",
    ),
)


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """One lab for the whole file, whose last test breaks it."""
    with shell_in(tmp_path_factory.mktemp("state")) as one:
        one.up("--file", one.asleep("listener", "web"))
        yield one


@pytest.fixture(scope="module")
def healthy(shell: Shell, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of the lab before it is broken."""
    bundle = tmp_path_factory.mktemp("healthy") / "b.tar.gz"
    assert shell.lkharness("collect", "--output", bundle).returncode == 0
    return bundle


def test_a_bundle_of_hosts_only_says_so(shell: Shell, healthy: Path, tmp_path: Path) -> None:
    """One of which nothing is left but what `collect --hosts-only` puts in (test_collect_bundle)."""
    bundle = tmp_path / "hosts.tar.gz"
    with tarfile.open(healthy) as whole, tarfile.open(bundle, "w:gz") as hosts:
        for member in whole:
            raw = whole.extractfile(member).read()  # type: ignore[union-attr]
            if member.name.endswith("/index.json"):
                index = json.loads(raw)
                assert index.pop("observed")["paths"]
                raw = json.dumps(index).encode()
            member.size = len(raw)
            hosts.addfile(member, io.BytesIO(raw))
    done = shell.lkharness("check", bundle)
    assert done.returncode == 0 and "paths were not tried" in done.stdout, done.stdout


def test_a_healthy_lab_has_no_cause(shell: Shell, healthy: Path) -> None:
    done = shell.lkharness("check", "--json", healthy)
    assert (done.returncode, told(json.loads(done.stdout))) == (0, set()), done.stdout
    assert "paths were not tried" not in shell.lkharness("check", healthy).stdout


@pytest.mark.heavy
def test_the_same_causes(shell: Shell, tmp_path: Path) -> None:
    file, bundle = shell.labs / "lab" / "cluster.toml", tmp_path / "b.tar.gz"
    for (host, line), _ in TOGETHER:
        done = shell.lkharness("lab", "exec", host, "--", "sh", "-c", line)
        assert done.returncode == 0, done.stderr
    # both looks are at what stays so: the balancer has lost both nodes
    Deadline(120).wait_for(
        lambda: shell.status()["balancer"], until=lambda seen: not any(n["healthy"] for n in seen), what="no healthy node", every=0.5
    )
    live = json.loads(shell.lkharness("check", "--json", "--cluster", file).stdout)
    done = shell.lkharness("collect", "--cluster", file, "--output", bundle)
    assert done.returncode == 0, done.stderr
    there = shell.lkharness("check", "--json", bundle)
    offline = json.loads(there.stdout)
    assert there.returncode == 1, there.stderr
    for (host, _), says in TOGETHER:
        assert any(where == host and says in said for where, said in told(live)), (says, live["causes"])
    assert told(offline) == told(live)
    assert {(p["path"], p["service"], p["outcome"]) for p in offline["paths"]} == {
        (p["path"], p["service"], p["outcome"]) for p in live["paths"]
    }


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
