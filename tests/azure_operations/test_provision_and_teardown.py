"""`lkharness azure up`, `down` and `sweep` against a small stand-in for ARM's deployments, over HTTPS and with the real Azure packages.

The stand-in makes nothing and no Azure is behind it: what these tests show is what is asked of ARM, and what is made of its answers.
"""

from __future__ import annotations

import http.server
import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from arm_answers import SUBSCRIPTION
from azure_up import run_of, up

from harness.azure.provision import creation_record
from harness.azure.provision.template import prices
from harness.cli import main
from harness.config import cluster_config
from harness.core.errors import Unusable


def test_a_plan_asks_nobody(arm, capsys):
    assert up("--plan", "--design", "floating") == 0
    said = capsys.readouterr().out
    assert arm.asked == []
    for name in ("lknode01-nic2", "lkclient", "ilb", "vnet"):
        assert name in said
    assert (
        "floating IP on" in said and "an hour of it costs is not known" in said and "public addresses: none" in said and "all of it" in said
    )


def test_up_and_down_again(arm, capsys, tmp_path):
    arm.add_group("lk-test")
    arm.add("Microsoft.Storage/storageAccounts", "somebodys")
    before = arm.names()
    assert up("--cluster-file", "made.toml", "--placement", "availability-set", "--outbound", "--public-from", "192.0.2.7/32") == 0
    said = capsys.readouterr()
    run = run_of(said.out)
    assert {"lknode01", "lknode02", "lkclient", "ilb", "jump-address", "nat", "nodes"} <= arm.names()
    assert "lknode02 (virtualMachines): Succeeded" in said.err
    assert all(r["tags"]["lkharness-run"] == run for r in arm.resources.values() if r["name"] != "somebodys")
    cluster = cluster_config.load(tmp_path / "made.toml")
    assert cluster.azure is not None and cluster.azure.load_balancer == "ilb" and str(cluster.vip) == "10.20.1.200"

    assert main(["azure", "down", "--azure", "where.toml", "--run", run, "--plan"]) == 0
    assert "somebodys" not in capsys.readouterr().err and "lknode01" in arm.names()
    assert main(["azure", "down", "--azure", "where.toml", "--run", run]) == 0
    assert arm.names() == before and arm.deployments == {}
    assert list(arm.groups) == [f"/subscriptions/{SUBSCRIPTION}/resourcegroups/lk-test"], "a group that was there stays"
    assert main(["azure", "down", "--azure", "where.toml", "--run", run]) == 2


def test_a_group_that_the_run_made_goes_whole(arm, capsys):
    assert up("--prefix", "lk-") == 0
    run = run_of(capsys.readouterr().out)
    assert main(["azure", "down", "--azure", "where.toml", "--run", run]) == 0
    assert arm.groups == {} and arm.resources == {}
    deleted = [path for method, path in arm.asked if method == "DELETE"]
    assert deleted[-1] == f"/subscriptions/{SUBSCRIPTION}/resourceGroups/lk-test", "the group goes last, when it is empty"


def test_a_group_with_somebody_elses_things_stays(arm, capsys):
    assert up() == 0
    run = run_of(capsys.readouterr().out)
    arm.add("Microsoft.Storage/storageAccounts", "later")
    assert main(["azure", "down", "--azure", "where.toml", "--run", run]) == 4
    assert arm.names() == {"later"} and len(arm.groups) == 1
    assert "left: the resource group lk-test stays: it holds what run" in capsys.readouterr().err


def test_what_is_there_already_is_not_touched(arm, capsys):
    arm.add_group("lk-test")
    arm.add("Microsoft.Network/virtualNetworks", "vnet", tags={"of": "somebody"})
    assert up() == 2
    assert "holds vnet already" in capsys.readouterr().err
    assert arm.names() == {"vnet"} and not [m for m, _ in arm.asked if m in ("PUT", "DELETE")]


QUOTA: dict[str, Any] = {
    "code": "DeploymentFailed",
    "message": "At least one resource deployment operation failed.",
    "details": [{"code": "SkuNotAvailable", "message": "The requested size is currently not available in zone '2'."}],
}


@pytest.mark.parametrize(("keep", "stays"), [("never", False), ("failed", True), ("always", True)])
def test_a_failed_deployment_says_which_and_why(arm, capsys, keep, stays):
    arm.fails["lknode02"] = QUOTA
    assert up("--keep", keep, "--cluster-file", "none.toml") == 4
    said = capsys.readouterr().err
    assert "lknode02 (virtualMachines): SkuNotAvailable: The requested size" in said
    assert bool(arm.resources) is stays and not Path("none.toml").exists()
    if stays:
        assert "azure down --run" in said and "may remove it after" in said


def test_a_deployment_that_never_ends(arm, capsys):
    arm.never_ends = True
    assert up("--limit", "0.02") == 4
    said = capsys.readouterr().err
    assert "give it longer with --limit" in said and "waiting for its end" in said
    assert arm.resources == {}
    assert any(path.endswith("/cancel") for _, path in arm.asked)


def run_of_group(arm: Any, group: str) -> str:
    return next(g["tags"]["lkharness-run"] for g in arm.groups.values() if g["name"] == group)


def test_sweep_removes_what_expired_and_nothing_else(arm, capsys):
    assert up("--resource-group", "old", "--expires", "1m") == 0
    assert up("--resource-group", "young", "--expires", "2h") == 0
    capsys.readouterr()
    arm.expire("old")
    old = run_of_group(arm, "old")
    creation_record.write_ledger(replace(creation_record.read_ledger(SUBSCRIPTION, old), expires="2020-01-01T00:00:00Z"))
    assert main(["azure", "sweep", "--azure", "where.toml", "--plan", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["expired"]
    assert found["group"] == "old" and len(arm.groups) == 2
    assert main(["azure", "sweep", "--azure", "where.toml"]) == 2, "there is nobody to agree"
    assert "nothing was removed: look at the plan, then give --yes" in capsys.readouterr().err and len(arm.groups) == 2
    assert main(["azure", "sweep", "--azure", "where.toml", "--yes", "--owner", "somebody"]) == 0 and len(arm.groups) == 2
    assert main(["azure", "sweep", "--azure", "where.toml", "--yes", "--owner", "me"]) == 0
    assert [g["name"] for g in arm.groups.values()] == ["young"]
    assert all("/young/" in r["id"] for r in arm.resources.values())
    assert main(["azure", "sweep", "--azure", "where.toml"]) == 0
    assert "nothing has expired" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--public-from", "0.0.0.0/0"], "the whole Internet"),
        (["--public-from", "here"], "is no network"),
        (["--expires", "soon"], "is no span of time"),
        (["--image", "debian"], "is no image"),
        (["--ssh-key", "where.toml"], "is no public key"),
        (["--manager", "nothing-here.sh"], "cannot be read"),
        (["--manager", "pacemaker"], "give --outbound, too"),
        (["--probe-threshold", "0"], "probeThreshold: 0 is less than 1"),
    ],
)
def test_wrong_options_are_told_before_anything_is_made(arm, capsys, more, says):
    assert up(*more) == 2
    assert says in capsys.readouterr().err and arm.asked == []


def test_nobody_there_to_agree(arm, capsys):
    assert main(["azure", "up", "--azure", "where.toml", "--location", "x", "--owner", "me", "--ssh-key", "key.pub"]) == 2
    assert "give --yes" in capsys.readouterr().err and arm.asked == []


def test_retail_prices_are_asked_for():
    items = [
        {"retailPrice": 0.2, "productName": "Virtual Machines Dsv5 Series Windows", "meterName": "D2s v5", "skuName": "D2s v5"},
        {"retailPrice": 0.02, "productName": "Virtual Machines Dsv5 Series", "meterName": "D2s v5 Spot", "skuName": "D2s v5 Spot"},
        {"retailPrice": 0.107, "productName": "Virtual Machines Dsv5 Series", "meterName": "D2s v5", "skuName": "D2s v5"},
    ]

    class Prices(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            data = json.dumps({"Items": items if "northeurope" in self.path else []}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Prices) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/prices"
        assert prices.of_retail("northeurope", url=url)("Standard_D2s_v5") == 0.107
        assert prices.of_retail("elsewhere", url=url)("Standard_D2s_v5") is None
        server.shutdown()
    with pytest.raises(Unusable, match="price list cannot be asked"):
        prices.of_retail("northeurope", url=url, limit=2.0)("Standard_D2s_v5")
