"""What `azure up`, `down` and `sweep` are told: a wrong word is one sentence and exit 2, before anything is asked of Azure or made."""

from __future__ import annotations

import json
import random
from pathlib import Path

import jsonschema
import pytest
from arm_answers import SUBSCRIPTION
from azure_up import OPTIONS, up

from harness import cli
from harness.azure.provision.provision import cluster_file
from harness.azure.provision.template import template
from harness.commands.azure import azure_up
from harness.config import cluster_config
from tests import deep_option

SCHEMA = jsonschema.Draft7Validator(json.loads((template.FILE.parent / "schema.json").read_text()))
WRONG = [
    (["--port", "99999"], "--port 99999: is no port for a rule; write one from 1 to 65534"),
    (["--port", "0"], "--port 0: is no port for a rule"),
    (["--port", "65535"], "--port 65535: is no port for a rule"),
    (["--port", "1521", "--port", "1521"], "--port 1521: is given 2 times; every service needs a port of its own"),
    (["--probe-port", "0"], "--probe-port 0: is no port; write one from 1 to 65535"),
    (["--probe-port", "65536"], "--probe-port 65536: is no port"),
    (["--user", "root"], "--user root: Azure takes no user of that name"),
    (["--user", "Admin"], "--user Admin: Azure takes no user of that name"),
    (["--user", "a b"], "--user a b: is no user's name"),
    (["--user", ""], "--user '': is no user's name"),
    (["--prefix", "a_b c"], "--prefix a_b c: cannot begin the names of virtual machines"),
    (["--prefix", "-a"], "--prefix -a: cannot begin"),
    (["--prefix", "x" * 60], "cannot begin the names"),
    (["--owner", "x" * 257], "--owner: is 257 characters long, and a tag holds 256"),
    (["--limit", "nan"], "--limit: 'nan' is no time"),
    (["--limit", "-3"], "--limit: '-3' is no time"),
    (["--limit", "0"], "--limit: '0' is no time"),
    (["--limit", "inf"], "--limit: 'inf' is no time"),
    (["--limit", "1e300"], "--limit: '1e300' is no time"),
    (["--limit", "long"], "--limit: 'long' is no time"),
    (["--manager", "script.sh"], "--manager without --outbound: the nodes would have no way out to Azure"),
    (["--manager", "pacemaker"], "--manager without --outbound: the nodes would have no way out to Azure"),
]


def one_sentence(said: str) -> bool:
    return said.startswith("lkharness: ") and said.count("\n") == 1 and "Traceback" not in said


def with_equals(more: list[str]) -> list[str]:
    """`--limit=-3`: what begins with a dash would be taken for an option."""
    return [f"{name}={value}" for name, value in zip(more[::2], more[1::2], strict=True)]


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """Settings that lead to nobody: whatever is asked of Azure fails."""
    monkeypatch.chdir(tmp_path)
    Path("where.toml").write_text(f'[azure]\nsubscription = "{SUBSCRIPTION}"\nresource_group = "lk-test"\n')
    Path("key.pub").write_text("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI me@here\n")
    Path("script.sh").write_text("#!/bin/sh\n")


@pytest.mark.parametrize(("more", "says"), WRONG, ids=[" ".join(more)[:30] for more, _ in WRONG])
def test_a_wrong_option_is_one_sentence(nowhere, capsys, more, says):
    assert up(*with_equals(more), "--plan") == 2
    said = capsys.readouterr()
    assert says in said.err and one_sentence(said.err) and said.out == ""


def test_nothing_is_asked_before(arm, capsys):
    assert [up(*with_equals(more)) for more, _ in WRONG] == [2] * len(WRONG)
    assert arm.asked == [] and capsys.readouterr().out == ""


@pytest.mark.parametrize("limit", ["nan", "-3", "0", "inf", "1e300"])
def test_a_limit_that_is_none(arm, capsys, limit):
    for verb in (["down", "--run", "x"], ["sweep"]):
        assert cli.main(["azure", *verb, "--azure", "where.toml", f"--limit={limit}"]) == 2
        said = capsys.readouterr().err
        assert f"--limit: '{limit}' is no time" in said and one_sentence(said) and arm.asked == []


def test_what_can_be_wished(nowhere):
    assert (
        up("--plan", "--port", "1", "--port", "65534", "--probe-port", "65535", "--user", "_me-2", "--prefix", "a-1", "--limit", "0.5") == 0
    )


DRAWS = deep_option.number(150, 500, "LKHARNESS_PROVISION_DRAWS")
CHOICES = {
    "--port": ["0", "1", "22", "1521", "1521", "5432", "12345", "65534", "65535", "70000", "-1"],
    "--probe-port": ["0", "1", "1521", "12345", "65535", "65536"],
    "--probe-threshold": ["0", "1", "2", "100", "101"],
    "--user": ["root", "me", "a b", "", "azureuser", "x" * 33, "me.too", "Ä", "1st", "-x", "me\n"],
    "--prefix": ["", "a", "a-", "a_b c", "-", "ü", "x" * 40, "x" * 41, "a.b", "../a", "a\n"],
    "--owner": ["me", "", "x" * 256, "x" * 257, "Jörg <j@example>", '"'],
    "--design": ["nat", "floating"],
    "--placement": ["zones", "availability-set"],
    "--manager": ["none", "pacemaker", "script.sh"],
    "--public-from": ["192.0.2.7", "192.0.2.0/24", "192.0.2.7/24", "0.0.0.0/0", "", "2001:db8::1"],
    "--limit": ["nan", "inf", "-1", "0", "0.1", "60", "1e9"],
    "--location": ["westeurope", "", "West Europe"],
    "--cluster-file": ["made.toml", "no/made.toml"],
}


def drawn(chance: random.Random) -> list[str]:
    """Some options, each of its words as likely as any other; most draws have a fault."""
    words = [f"{name}={chance.choice(values)}" for name, values in CHOICES.items() for _ in range(chance.choice([0, 0, 1]))]
    words += [f"--port={chance.choice(CHOICES['--port'])}" for _ in range(chance.choice([0, 0, 1, 2]))]
    return words + [flag for flag in ("--ha-ports", "--outbound") if chance.random() < 0.3]


def test_every_wish_that_a_plan_takes_gives_a_cluster_file_and_a_template_that_hold(nowhere, capsys):
    chance, taken = random.Random(5), 0
    for _ in range(DRAWS):
        words = ["azure", "up", *OPTIONS, "--plan", *drawn(chance)]
        code, said = cli.main(words), capsys.readouterr()
        if code:
            assert (code, one_sentence(said.err)) == (2, True), (words, said.err)
            continue
        taken += 1
        given = cli._parser().parse_args(words)
        request = azure_up._request(given)
        azure = cluster_config.Azure(subscription=SUBSCRIPTION, resource_group="lk-test")
        cluster_config.parse(
            cluster_file(request, {"subscription": SUBSCRIPTION, "resource_group": "lk-test"}, given.manager, "known_hosts"),
            Path("made.toml"),
        )
        for resource in request.resources(azure):
            assert [f"{e.json_path}: {e.message}" for e in SCHEMA.iter_errors(resource.body)] == [], words
    assert taken > DRAWS // 25
