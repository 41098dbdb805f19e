"""Which log-in `default` takes, and where a token goes."""

from __future__ import annotations

from typing import Any

import pytest
from arm_server import ArmServer
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import CredentialUnavailableError

from harness.azure.client import credentials, error_mapping, sdk_clients
from harness.azure.client.arm import Arm
from harness.config.cluster_config import Azure

SUBSCRIPTION, TENANT = "0000-sub", "0000-tenant"


class There:
    def __init__(self, name: str) -> None:
        self.name = name

    def get_token(self, *scopes: str, **options: Any) -> str:
        return f"token of {self.name}"

    get_token_info = get_token


class Fails(There):
    def __init__(self, name: str, error: type[Exception]) -> None:
        super().__init__(name)
        self._error = error

    def get_token(self, *scopes: str, **options: Any) -> str:
        raise self._error(message=f"{self.name} says no\nin two lines")


def absent(name: str) -> There:
    return Fails(name, CredentialUnavailableError)


def refused(name: str) -> There:
    return Fails(name, ClientAuthenticationError)


def first_of(**kinds: There) -> credentials.FirstOf:
    return credentials.FirstOf({f"{name}Credential": lambda one=one: one for name, one in kinds.items()})


def test_where_a_person_sits_that_person_comes_before_the_machine() -> None:
    assert credentials.login_order(True).index("AzureCliCredential") < credentials.login_order(True).index("ManagedIdentityCredential")
    assert credentials.login_order(False).index("ManagedIdentityCredential") < credentials.login_order(False).index("AzureCliCredential")
    assert set(credentials.login_order(True)) == set(credentials.login_order(False))


def test_the_first_that_there_is_gives_the_token_and_is_named() -> None:
    one = first_of(Environment=absent("environment"), ManagedIdentity=refused("machine"), AzureCli=There("az"))
    assert one.get_token("scope") == "token of az" and credentials.last_login() == "AzureCli"
    assert one.get_token("scope") == "token of az"


def test_one_that_is_set_up_and_refused_is_the_end() -> None:
    """Somebody else's rights must not be used in its place."""
    with pytest.raises(ClientAuthenticationError, match="environment says no"):
        first_of(Environment=refused("environment"), AzureCli=There("az")).get_token("scope")


def test_none_is_one_sentence_that_names_all() -> None:
    one = first_of(Environment=absent("environment"), AzureCli=absent("az"))
    with pytest.raises(ClientAuthenticationError) as caught:
        one.get_token("scope")
    told = str(error_mapping.to_harness_error(caught.value, "reading the load balancer ilb"))
    assert "tried: Environment, AzureCli" in told and "\n" not in told


@pytest.mark.parametrize(
    ("more", "asked"), [({}, {"subscription": SUBSCRIPTION}), ({"tenant": TENANT}, {"tenant_id": TENANT})], ids=["subscription", "tenant"]
)
def test_az_is_asked_for_the_directory_that_is_meant(monkeypatch: pytest.MonkeyPatch, more: dict[str, str], asked: dict[str, str]) -> None:
    """A consultant has several directories, and `az` gives a token of the last one used (azure-cli 21227)."""
    import azure.identity

    given: list[dict[str, Any]] = []

    class Az(There):
        def __init__(self, **about: Any) -> None:
            super().__init__("az")
            given.append({key: value for key, value in about.items() if value is not None})

    monkeypatch.setattr(azure.identity, "AzureCliCredential", Az)
    monkeypatch.setattr(credentials, "login_order", lambda terminal: ("AzureCliCredential",))
    one = credentials.make_credential(Azure(subscription=SUBSCRIPTION, resource_group="g", **more))
    assert one.get_token("scope") == "token of az"
    assert [{k: v for k, v in about.items() if k in ("subscription", "tenant_id")} for about in given] == [asked]


def test_a_refusal_names_the_log_in(server: ArmServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.spoiled["/tags"] = 403, {}, {"error": {"code": "AuthorizationFailed", "message": "The client 'c' with object id 'o' does not."}}
    talk = sdk_clients.make_clients(Azure.model_validate(server.table()))
    assert talk.credential
    monkeypatch.setattr(credentials, "_successful_logins", ["ManagedIdentity"])
    with pytest.raises(error_mapping.NotAllowed, match=r"the log-in by ManagedIdentity c \(object id o\)"):
        Arm(talk).get("/subscriptions/s/tags", "reading")
    talk.close()


def test_a_redirect_to_another_host_takes_no_token_along(server: ArmServer) -> None:
    other = f"localhost:{server.server_address[1]}"
    server.spoiled["GET /subscriptions/s/there"] = 307, {"Location": f"https://{other}/subscriptions/s/other?api-version=1"}, None
    server.spoiled["GET /subscriptions/s/other"] = 200, {}, {}
    talk = sdk_clients.make_clients(Azure.model_validate(server.table()))
    Arm(talk).get("/subscriptions/s/there", "reading")
    talk.close()
    strangers = [token for host, token in server.tokens if host == other]
    assert strangers == [None], "it was asked, without our token"
