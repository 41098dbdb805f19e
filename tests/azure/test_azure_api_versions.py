"""`api_versions` in [azure]: in every request of the real packages, to that provider and to no other, and in the template."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import arm_server
import azure_payloads
import pytest
from arm_server import ArmServer
from test_azure_read import HOSTS, refused

from harness.azure.client import api_versions, sdk_clients
from harness.azure.client.arm import Arm
from harness.azure.inventory import resource_reader
from harness.azure.provision.template import template
from harness.config import cluster_config
from harness.core.errors import Unusable

ASKED = {"microsoft.network": "2023-11-01", "Microsoft.Compute": "2022-08-01"}


@pytest.fixture
def urls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every URL that the stand-in was asked, whole."""
    found: list[str] = []
    own = arm_server._Handler._answer

    def answer(self: Any) -> None:
        found.append(self.path)
        own(self)

    monkeypatch.setattr(arm_server._Handler, "do_GET", answer)
    monkeypatch.setattr(arm_server._Handler, "do_POST", answer)
    return found


def versions(urls: list[str]) -> dict[str, set[str]]:
    """The versions that each provider was asked in."""
    found: dict[str, set[str]] = {}
    for url in urls:
        if "/subscriptions/" in url:
            found.setdefault(api_versions.provider_of(urlsplit(url).path), set()).update(parse_qs(urlsplit(url).query)["api-version"])
    return found


def look(server: ArmServer, **over: Any) -> Any:
    there = sdk_clients.make_clients(cluster_config.Azure(**server.table(**over)))
    try:
        seen = resource_reader.look(there, HOSTS, azure_payloads.cluster().vip, 30.0)
        arm = Arm(there)
        arm.exists(f"{arm.group}/providers/Microsoft.Network/loadBalancers", "looking", api="2024-05-01")
        arm.exists(arm.group, "looking for the group")
        return seen
    finally:
        there.close()


def test_every_request_to_a_provider_is_in_the_version_that_is_asked_for(server: ArmServer, urls: list[str]) -> None:
    assert look(server, api_versions=ASKED) == server.wire.seen()
    found = versions(urls)
    assert found["Microsoft.Network"] == {"2023-11-01"} and found["Microsoft.Compute"] == {"2022-08-01"}
    assert found["Microsoft.Resources"] == {"2021-04-01"}, "of which nothing was asked"


def test_without_it_the_packages_own_stay(server: ArmServer, urls: list[str]) -> None:
    look(server)
    assert not {v for those in versions(urls).values() for v in those} & set(ASKED.values())


def test_a_cloud_that_is_behind_is_told_with_the_setting_that_mends_it(server: ArmServer) -> None:
    says = "No registered resource provider found for location 'x' and API version '2030-01-01' for type 'loadBalancers'."
    server.spoiled["/loadBalancers"] = refused(400, "NoRegisteredProviderFound", says)
    with pytest.raises(Unusable, match=r"does not know the version of its API .* api_versions in \[azure\]"):
        look(server)


def test_the_template_is_deployed_in_them_too() -> None:
    own = template.load()
    made = api_versions.template_with_versions(own, ASKED)
    assert own == template.load() and api_versions.template_with_versions(own, {}) == own
    for before, after in zip(own["resources"], made["resources"], strict=True):
        assert after["apiVersion"] == {"Microsoft.Network": "2023-11-01", "Microsoft.Compute": "2022-08-01"}[after["type"].split("/")[0]]
        assert {**after, "apiVersion": before["apiVersion"]} == before


@pytest.mark.parametrize(
    ("url", "becomes"),
    [
        ("https://a/subscriptions/s/providers/Microsoft.Network/x?api-version=1&$top=2", "2023-11-01&$top=2"),
        ("https://a/x/providers/Microsoft.Compute/virtualMachines/v/providers/microsoft.network/locks/l?$f=1&API-VERSION=1", "2023-11-01"),
        ("https://a/subscriptions/s/providers/Microsoft.Network/x", None),
        ("https://a/subscriptions/s/resourceGroups/api-version=1?api-version=1", None),
    ],
)
def test_the_last_provider_of_a_path_answers(url: str, becomes: str | None) -> None:
    made = api_versions.with_version(url, ASKED)
    assert made == url if becomes is None else made.endswith(f"={becomes}") and made != url


@pytest.mark.parametrize(
    ("given", "says"),
    [({"Microsoft.Network": "2020-11-01"}, "PRB-08"), ({"Microsoft.Network": "newest"}, "pattern"), ({"network": "2024-05-01"}, "pattern")],
)
def test_what_is_no_version_or_too_old_is_refused(given: dict[str, str], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        cluster_config.Azure(subscription="s", resource_group="g", api_versions=given)
