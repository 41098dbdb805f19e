"""A host that drops TCP packets of more than 1400 bytes, and no echo: every small exchange passes, and `lkharness check` tells it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_shell import shell_in

pytestmark = pytest.mark.deep

RULE = (
    "nft add table ip hole; nft 'add chain ip hole in {{ type filter hook {hook} priority -300; }}'; "
    "nft add rule ip hole in ip protocol tcp ip length \\> 1400 {of} counter drop"
)
HOLES = {  # where it is made: the rule there, and the paths that lose what is full-sized
    "lknode01": (RULE.format(hook="prerouting", of="iifname eth0"), {"client", "standby"}),
    "lkclient": (RULE.format(hook="output", of="ip daddr 10.20.1.200"), {"client"}),
}


@pytest.mark.parametrize("host", HOLES)
def test_it_is_named_with_its_host_and_paths(tmp_path: Path, host: str) -> None:
    rule, lost = HOLES[host]
    with shell_in(tmp_path / "state") as shell:
        shell.up()
        assert shell.lkharness("lab", "exec", host, "--", "sh", "-c", rule).returncode == 0
        done = shell.lkharness("check", "--json", "--cluster", shell.labs / "lab" / "cluster.toml")
    seen = json.loads(done.stdout)
    failed = {(p["path"], p["service"]) for p in seen["paths"] if p["outcome"] == "fail"}
    assert done.returncode == 1 and failed == {(path, service) for path in lost for service in ("web", "database")}
    (cause,) = [c for c in seen["causes"] if c["certainty"] != "possible"]
    assert cause["host"] == host and "MTU black hole" in cause["says"] and set(cause["symptoms"]) == {f"{p}/{s}" for p, s in failed}
