"""What `azure up` takes and refuses before anything is made: tags, keys, lives; and what a plan says of the cost."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from harness.azure.provision import deployment_request
from harness.azure.provision.deployment_request import EXPIRES, RUN, DeploymentRequest
from harness.azure.provision.template import prices
from harness.config.cluster_config import Azure
from harness.core.errors import BadUse

AZURE = Azure(subscription="s", resource_group="lk-test")


def planned(asked: str = "rough", **over: Any) -> dict[str, Any]:
    wanted = DeploymentRequest("westeurope", "me", time.time() + 60, {"design": "nat", "sshPublicKey": "ssh-ed25519 AAAA me", **over})
    return deployment_request.plan(wanted, AZURE, prices.prices_of(asked, "westeurope"))


def test_mandatory_tags_are_on_everything_and_ours_stay_ours() -> None:
    tags = deployment_request.tags_of(["CostCenter=4711", "Owner Mail=me@example.com", "empty="])
    wanted = DeploymentRequest("westeurope", "me", time.time() + 60, {"design": "nat", "sshPublicKey": "ssh-ed25519 AAAA me"}, tags)
    for resource in wanted.resources(AZURE):
        assert resource.body["tags"]["CostCenter"] == "4711" and resource.body["tags"][RUN] == wanted.run
    assert wanted.tags["empty"] == ""


@pytest.mark.parametrize(
    "text", ["", "=x", "no", "a/b=c", "a<b=c", "x" * 129 + "=y", "k=" + "v" * 257, "k=a\nb", f"{EXPIRES}=never", "LKHARNESS-run=x"]
)
def test_what_is_no_tag(text: str) -> None:
    with pytest.raises(BadUse, match="--tag"):
        deployment_request.tags_of([text])


def test_too_many_tags() -> None:
    with pytest.raises(BadUse, match="too many"):
        deployment_request.tags_of([f"k{i}=v" for i in range(13)])


@pytest.mark.parametrize(
    ("line", "taken"),
    [
        ("ssh-ed25519 AAAAC3Nz me", True),
        (f"ssh-rsa {'A' * 372} me", True),
        (f"ssh-rsa {'A' * 204} me", False),
        (f"ssh-dss {'A' * 500} me", False),
        (f"ecdsa-sha2-nistp256 {'A' * 140} me", False),
        (f"sk-ssh-ed25519@openssh.com {'A' * 90} me", False),
    ],
)
def test_only_keys_that_azure_takes(tmp_path: Path, line: str, taken: bool) -> None:
    file = tmp_path / "key.pub"
    file.write_text(line)
    if taken:
        assert deployment_request.public_key(file) == line
    else:
        with pytest.raises(BadUse, match="Azure takes RSA keys of 2048 bits or more and Ed25519 ones"):
            deployment_request.public_key(file)


@pytest.mark.parametrize(("text", "taken"), [("30d", True), ("31d", False), ("9999d", False), ("720h", True), ("721h", False)])
def test_a_forgotten_cluster_does_not_cost_for_years(text: str, taken: bool) -> None:
    if taken:
        assert deployment_request.expires_in(text) - time.time() == pytest.approx(30 * 86400, abs=60)
    else:
        with pytest.raises(BadUse, match="at most 30d"):
            deployment_request.expires_in(text)


def test_software_that_costs_is_a_row_without_a_price() -> None:
    image = {"publisher": "RedHat", "offer": "rhel-ha", "sku": "9_4", "version": "latest"}
    plain, paid = planned(), planned(image=image)
    assert plain["without_a_price"] == 0 and not [r for r in plain["resources"] if r["type"] == "software"]
    assert paid["without_a_price"] == 3 and {r["name"] for r in paid["resources"] if r["type"] == "software"} == {
        "lknode01-image",
        "lknode02-image",
        "lkclient-image",
    }


def test_no_price_is_told_that_nobody_looked_up() -> None:
    plain = planned("none", ports=list(range(1001, 1009)))
    said = {r["type"].split("/")[-1]: r["usd_per_hour"] for r in plain["resources"]}
    assert plain["usd_per_hour"] is None and "not known: --prices retail asks" in plain["price_note"]
    assert {said[kind] for kind in ("virtualMachines", "disks", "loadBalancers", "rules")} == {None} and said["virtualNetworks"] == 0.0
    assert "all of it" in deployment_request.as_text(plain) and "$ ?" in deployment_request.as_text(plain)


def test_azures_list_prices_the_machines_and_nothing_is_mixed_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prices, "of_retail", lambda region: lambda size: 0.1)
    listed = planned("retail")
    assert listed["usd_per_hour"] == pytest.approx(0.3) and listed["without_a_price"] == 4  # three disks and the balancer
    assert {r["price"] for r in listed["resources"]} == {"retail", "not known", "free"}


def test_rules_beyond_five_cost() -> None:
    few, many = planned(ports=list(range(1001, 1006))), planned(ports=list(range(1001, 1009)))
    assert many["usd_per_hour"] == pytest.approx(few["usd_per_hour"] + 3 * 0.01)


def test_a_region_is_asked_for_as_the_price_list_spells_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def no(url: str, **more: Any) -> Any:
        asked.append(url)
        raise OSError("no network here")

    monkeypatch.setattr("urllib.request.urlopen", no)
    with pytest.raises(Exception, match="cannot be asked"):
        prices.of_retail("West Europe")("Standard_D2s_v5")
    assert "westeurope" in asked[0] and "West" not in asked[0]


@pytest.mark.parametrize(
    ("kind", "bits", "taken"), [("rsa", "2048", True), ("ed25519", "256", True), ("rsa", "1024", False), ("ecdsa", "256", False)]
)
def test_only_keys_that_azure_takes_for_a_machine(tmp_path: Path, kind: str, bits: str, taken: bool) -> None:
    """Refused before anything is made, and not by the machine's own deployment minutes and a network later; the private half never."""
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-b", bits, "-N", "", "-f", tmp_path / "key"], check=True, timeout=120)
    public = tmp_path / "key.pub"
    if taken:
        assert deployment_request.public_key(public) == public.read_text().strip()
    else:
        with pytest.raises(BadUse, match="Azure takes RSA keys of 2048 bits or more and Ed25519 ones"):
            deployment_request.public_key(public)
    with pytest.raises(BadUse, match="is no public key"):
        deployment_request.public_key(tmp_path / "key")
