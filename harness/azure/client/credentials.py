"""How the harness logs in to Azure: DefaultAzureCredential's order, or the one kind that the cluster file names.

Secrets are read at the last moment from where `[azure]` says they are, and are in no message and no record.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from harness.config.azure_config import foreign_endpoints, same_endpoint
from harness.config.cluster_config import Azure
from harness.core.errors import BadUse
from harness.core.files import file_exists
from harness.core.redaction import read_secrets
from harness.core.text.host_text import cut_at_word

CONNECT_S, READ_S = 10.0, 60.0  # what a connection, and a peer that says nothing, may take


def make_credential(azure: Azure) -> Any:
    """A token credential (azure.core.credentials.TokenCredential). Nothing is sent before its first use. Raises BadUse."""
    from harness.azure.client import error_mapping

    _check_endpoints(azure)
    _successful_logins.clear()
    with error_mapping.translate_errors("logging in to Azure"):
        try:
            return _FACTORIES[azure.credential](azure)
        except ValueError as error:  # how the package complains of what it is given, and of what it finds in the environment
            raise BadUse(f"credential {azure.credential} in [azure]: {str(error).splitlines()[0]}") from error


def _check_endpoints(azure: Azure) -> None:
    """A log-in of this machine is for the clouds' own ends only: anybody else could pass its token on. Raises BadUse."""
    endpoints = foreign_endpoints(azure.model_dump())
    if not endpoints:
        return
    listing = " and ".join(f"{key} {host}" for key, host in endpoints.items())
    if azure.credential != "client-secret":
        raise BadUse(
            f"[azure]: {listing} is not Azure's, and credential = \"{azure.credential}\" would send it a token of this machine's own log-in"
            '; use credential = "client-secret" with a secret made for it'
        )
    if "resource_manager" in endpoints and "authority" not in endpoints:
        audience = azure.audience or ""
        if not same_endpoint(audience, azure.resource_manager or ""):
            raise BadUse(
                f"[azure]: {listing} is not Azure's, so tokens of Azure's own must be for it alone; set audience to the same address"
            )


class Renewable:
    """A token credential that can be told that its tokens are worth nothing: the packages keep one until its own time is over."""

    def __init__(self, azure: Azure) -> None:
        self._azure = azure
        self._credential = make_credential(azure)

    def renew(self) -> None:
        """Logs in anew with the next request, as after an expired log-in of a command-line tool."""
        self._credential = make_credential(self._azure)

    def get_token(self, *scopes: str, **options: Any) -> Any:
        """A token for these scopes, in azure-identity's older form; raises what the credential raises."""
        return self._credential.get_token(*scopes, **options)

    def get_token_info(self, *scopes: str, options: Any = None) -> Any:
        """A token for these scopes, in azure-core's newer form; raises what the credential raises."""
        return self._credential.get_token_info(*scopes, options=options)

    def close(self) -> None:
        """Closes the credential, where it can be closed."""
        if hasattr(self._credential, "close"):
            self._credential.close()


def authority(azure: Azure) -> str:
    """Where tokens come from: the setting, or the cloud's own."""
    from azure.identity import AzureAuthorityHosts

    authority_by_cloud = {
        "public": AzureAuthorityHosts.AZURE_PUBLIC_CLOUD,
        "china": AzureAuthorityHosts.AZURE_CHINA,
        "government": AzureAuthorityHosts.AZURE_GOVERNMENT,
    }
    return azure.authority or authority_by_cloud[azure.cloud]


def connection_options(azure: Azure) -> dict[str, Any]:
    """What every connection has in common; limits in seconds, so that no step hangs on a peer that says nothing."""
    common: dict[str, Any] = {"connection_timeout": CONNECT_S, "read_timeout": READ_S}
    if azure.ca_file is not None:
        if not file_exists(azure.ca_file):
            raise BadUse(f"ca_file in [azure]: there is no file {azure.ca_file}; name the CA's certificate, in PEM")
        common["connection_verify"] = str(azure.ca_file)
    return common


def _common_options(azure: Azure) -> dict[str, Any]:
    return {"authority": authority(azure), "disable_instance_discovery": not azure.instance_discovery, **connection_options(azure)}


class FirstOf:
    """The first of several log-ins that there is; it stays the one that is used. `kinds` map their names to how each is made.

    DefaultAzureCredential would not do: it makes the command-line tools' parts without tenant or subscription, so that who has several
    directories gets a token of the wrong one; and it asks the machine's identity before the person's who sits there.
    """

    def __init__(self, kinds: Mapping[str, Callable[[], Any]]) -> None:
        self._kinds = dict(kinds)
        self._used: Any = None

    def get_token(self, *scopes: str, **options: Any) -> Any:
        """A token of the first credential that gives one; that one is asked from then on."""
        return self._ask_first(lambda credential: credential.get_token(*scopes, **options))

    def get_token_info(self, *scopes: str, options: Any = None) -> Any:
        """The same in azure-core's newer form."""
        return self._ask_first(lambda credential: credential.get_token_info(*scopes, options=options))

    def close(self) -> None:
        """Closes the credential that is in use."""
        if hasattr(self._used, "close"):
            self._used.close()

    def _ask_first(self, ask: Callable[[Any], Any]) -> Any:
        from azure.core.exceptions import ClientAuthenticationError
        from azure.identity import CredentialUnavailableError

        if self._used is not None:
            return ask(self._used)
        reasons = []
        for name, make in self._kinds.items():
            try:
                credential = make()
                token = ask(credential)
            except CredentialUnavailableError as error:
                reasons.append(f"{name}: {_first_line(error)}")
            except ClientAuthenticationError as error:
                if name not in OPTIONAL_LOGINS:  # one that was set up and is refused: another's rights must not be used in its place
                    raise
                reasons.append(f"{name}: {_first_line(error)}")
            except ValueError as error:  # nothing of it is set up here
                reasons.append(f"{name}: {_first_line(error)}")
            else:
                self._used = credential
                _successful_logins.append(name.removesuffix("Credential"))
                return token
        raise ClientAuthenticationError(message="no log-in gave a token; those that were tried:\n\t" + "\n\t".join(reasons))


OPTIONAL_LOGINS = ("ManagedIdentityCredential", "AzureCliCredential", "AzurePowerShellCredential", "AzureDeveloperCliCredential")
_successful_logins: list[str] = []  # the log-ins that gave tokens, by name, the last one last


def last_login() -> str:
    """The log-in of `default` that tokens came from, empty when there was none."""
    return _successful_logins[-1] if _successful_logins else ""


def _first_line(error: Exception) -> str:
    return cut_at_word((str(error).strip().splitlines() or [type(error).__name__])[0], 200)


def login_order(terminal: bool) -> tuple[str, ...]:
    """In which the log-ins of `default` are tried: where a person sits at a terminal, that person's before the machine's."""
    person = ("AzureCliCredential", "AzurePowerShellCredential", "AzureDeveloperCliCredential")
    machine = ("ManagedIdentityCredential",)
    return ("EnvironmentCredential", "WorkloadIdentityCredential", *(person + machine if terminal else machine + person))


def _make_default(azure: Azure) -> Any:
    factories: dict[str, Callable[[Azure], Any]] = {
        "EnvironmentCredential": _make_environment,
        "WorkloadIdentityCredential": _make_workload_identity,
        "ManagedIdentityCredential": _make_machine_identity,
        "AzureCliCredential": _make_cli,
        "AzurePowerShellCredential": _make_powershell,
        "AzureDeveloperCliCredential": _make_developer_cli,
    }
    import azure.identity as package

    assert package is not None  # its absence is told now

    return FirstOf({name: partial(factories[name], azure) for name in login_order(sys.stdin is not None and sys.stdin.isatty())})


def _make_machine_identity(azure: Azure) -> Any:
    """The machine's own identity; where there is none, that shows at once (the package's other way waits for it)."""
    from azure.identity import DefaultAzureCredential

    excluded = (
        "environment",
        "workload_identity",
        "shared_token_cache",
        "visual_studio_code",
        "cli",
        "developer_cli",
        "powershell",
        "broker",
    )
    options = {"managed_identity_client_id": azure.client_id} if azure.client_id else {}
    return DefaultAzureCredential(**{f"exclude_{kind}_credential": True for kind in excluded}, **options, **_common_options(azure))


def _make_environment(azure: Azure) -> Any:
    from azure.identity import EnvironmentCredential

    return EnvironmentCredential(**_common_options(azure))


def _make_workload_identity(azure: Azure) -> Any:
    from azure.identity import WorkloadIdentityCredential

    return WorkloadIdentityCredential(**_without_none(tenant_id=azure.tenant, client_id=azure.client_id), **_common_options(azure))


def _make_managed_identity(azure: Azure) -> Any:
    from azure.identity import ManagedIdentityCredential

    return ManagedIdentityCredential(**_without_none(client_id=azure.client_id), **connection_options(azure))


def _make_cli(azure: Azure) -> Any:
    from azure.identity import AzureCliCredential

    return AzureCliCredential(**_without_none(tenant_id=azure.tenant, subscription=azure.subscription if not azure.tenant else None))


def _make_powershell(azure: Azure) -> Any:
    from azure.identity import AzurePowerShellCredential

    return AzurePowerShellCredential(**_without_none(tenant_id=azure.tenant))


def _make_developer_cli(azure: Azure) -> Any:
    from azure.identity import AzureDeveloperCliCredential

    return AzureDeveloperCliCredential(**_without_none(tenant_id=azure.tenant))


def _make_client_secret(azure: Azure) -> Any:
    from azure.identity import ClientSecretCredential

    return ClientSecretCredential(azure.tenant or "", azure.client_id or "", _read_secret(azure), **_common_options(azure))


_FACTORIES: dict[str, Callable[[Azure], Any]] = {
    "default": _make_default,
    "environment": _make_environment,
    "workload-identity": _make_workload_identity,
    "managed-identity": _make_managed_identity,
    "cli": _make_cli,
    "powershell": _make_powershell,
    "developer-cli": _make_developer_cli,
    "client-secret": _make_client_secret,
}


def _without_none(**settings: str | None) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if value is not None}


def _read_secret(azure: Azure) -> str:
    """Raises BadUse when it is not where the file says."""
    if azure.client_secret_variable is not None:
        secret = os.environ.get(azure.client_secret_variable, "")
        if not secret:
            raise BadUse(f"the environment variable {azure.client_secret_variable} is empty; put the application's secret into it")
        return secret
    path = azure.client_secret_file or Path()
    try:
        first_line, *_ = [*path.read_text(encoding="utf-8").splitlines(), ""]
    except (OSError, UnicodeDecodeError) as error:
        raise BadUse(f"client_secret_file in [azure]: {path} cannot be read ({getattr(error, 'strerror', 'no text')})") from error
    if not first_line.strip():
        raise BadUse(f"client_secret_file in [azure]: the first line of {path} is empty; put the application's secret there")
    return read_secrets.tell(first_line.strip())
