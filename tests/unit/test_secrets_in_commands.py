"""Which words of a command are secrets, and which only look like it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.collect.known_secrets import known_secrets
from harness.commands.suite import run as run_suite
from harness.config import cluster_config
from harness.core.redaction.secrets_in_commands import secret_words
from harness.lab.lifecycle import default_cluster
from harness.report.record.run_directory import Run


@pytest.mark.parametrize(
    ("command", "secret"),
    [
        ("pytest -p no:cacheprovider -p no:hypothesispytest --cluster c.toml", set()),
        ("lkharness failover -p no:cacheprovider --token canary", {"canary"}),
        ("lkharness failover --api-token=canary", {"canary"}),
        ("sshpass -p canary ssh vault", {"canary"}),
        ("/usr/bin/sshpass -pcanary ssh -p2222 vault", {"canary"}),
        ("mysql -u root -pcanary", {"canary"}),
        ("sudo mariadb-admin -u root -pcanary ping", {"canary"}),
        ("fence_ipmilan -a 10.0.0.1 -p canary", {"canary"}),
        ("/opt/site/power -p canary off", {"canary"}),  # nobody knows what it means there
        ("ssh jump fence_ipmilan -a bmc -l admin -p 12345", {"12345"}),  # digits, which would be a port of ssh's own
        ("docker exec tools fence_x -p 5/canary", {"5/canary"}),
        ("x --client-secret=canary --password=other", {"canary", "other"}),
        ("wget --password=canary on", {"canary"}),
        ("curl --user svc:canary https://bmc/off", {"canary"}),
        ("curl --proxy-user=svc:canary https://bmc/off", {"canary"}),
        ("mkdir -parents x", set()),
        ("ssh -p 2222 root@jump power off", set()),  # a port
        ("ssh -p 2222 root@jump /opt/site/power -p canary off", {"canary"}),
        ("ssh root@jump /opt/site/power -p canary off", {"canary"}),
        ("plink -P 2222 -pw canary jump power off", {"canary"}),
        ("sudo ipmitool -I lanplus -H 10.0.0.9 -U admin -P canary chassis power off", {"canary"}),
        ("ipmitool -H 10.0.0.9 -Pcanary power off", {"canary"}),
        ("mysql -P 3306 -pcanary", {"canary"}),
        ("snmpset -v1 -c canary 10.0.0.9 .1.3.6.1 i 2", {"canary"}),
        ("curl -su svc:canary https://bmc/off", {"canary"}),
        ("curl -u svc https://bmc/off", set()),
        ("mkdir -p /run/site", set()),
        ("docker run -p 80:8080 power", set()),
        ("psql -p 5432 -h db", set()),
        ("", set()),
    ],
)
def test_what_an_option_calls_secret(command, secret) -> None:
    assert secret_words(command.split()) == secret


def test_a_new_line_ends_a_command_and_none_within_quotes() -> None:
    assert secret_words(["sh", "-c", "cp -p a b\n\nfence_x -p canary"]) == {"canary"}
    assert secret_words(["sh", "-c", "fence_x -p 'cana\nry' -o off"]) == {"cana\nry"}


@pytest.mark.parametrize(
    ("command", "secret"),
    [
        (["sh", "-c", "ipmitool -H bmc -P canary power off"], {"canary"}),
        (["sh", "-c", "mkdir -p /run/site && power -p canary off"], {"canary"}),
        (["sh", "-c", "mkdir -p site; power -p canary off"], {"site", "canary"}),  # what is no path may be anything
        (["ssh", "-p", "2222", "jump", "sudo sh -c 'sshpass -p canary ssh -p 22 bmc off'"], {"canary"}),
        (["sh", "-c", "echo 'an end is missing; power -p canary"], {"canary"}),
    ],
)
def test_a_word_that_is_a_line_is_looked_into(command, secret) -> None:
    assert secret_words(command) == secret


def test_a_port_is_no_secret_that_was_left() -> None:
    """It would be told as one that is too short to be taken out, with the advice to change it."""
    power = {"off": ["ssh", "-p", "2222", "jump", "power off"], "on": ["ipmitool", "-P", "canary-of-the-bmc", "power", "on"]}
    data = default_cluster.cluster_data() | {"power": power}
    assert known_secrets(cluster_config.parse(data, Path("cluster.toml")), data, {}) == ({"canary-of-the-bmc"}, [])


def test_a_run_keeps_the_options_of_its_own_command(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    """Those that `lkharness failover` gives to pytest by itself."""
    given: list[str] = []
    monkeypatch.setattr("sys.argv", ["lkharness"])
    monkeypatch.setattr(pytest, "main", lambda words, **plugins: given.extend(words) or 0)
    run_suite(["failover", "--password", "canary"])
    made = Run.create(tmp_path, command=["pytest", *given])
    kept = json.loads((made.directory / "run.json").read_text())["command"]
    assert kept == ["pytest", *(word if word != "canary" else "[removed]" for word in given)] and "no:cacheprovider" in kept
