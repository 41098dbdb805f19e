"""The `[azure]` table of a cluster file: where the cluster is in Azure, and how to log in. Knows no Azure package."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, field_validator, model_validator

from harness.config.config_types import Name, Part, Seconds

METADATA_ADDRESS = "169.254.169.254"  # of Azure's instance metadata service: HTTP, not routable, the same in every network (WNET-98)


def _https(url: str) -> str:
    """A bearer token goes over HTTPS only; the packages refuse anything else, much later and in other words."""
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname:
        raise ValueError(f"{url!r} is no https address; write one such as https://management.azure.com")
    return url.rstrip("/")


Https = Annotated[str, AfterValidator(_https)]
Credential = Literal[
    "default", "environment", "workload-identity", "managed-identity", "cli", "powershell", "developer-cli", "client-secret"
]


ApiProvider = Annotated[str, Field(pattern=r"^[Mm]icrosoft\.[A-Za-z]+$")]
ApiVersion = Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}(-preview)?$")]
MIN_API_VERSIONS = {"microsoft.network": "2022-05-01"}  # facts PRB-08


# The ends of the public and the sovereign clouds, by their packages' own constants (facts libraries.md): nobody else gets a token of this
# machine's log-in.
OWN_LOGINS = frozenset(
    {"login.microsoftonline.com", "login.microsoft.com", "login.windows.net", "login.chinacloudapi.cn", "login.microsoftonline.us"}
)
OWN_MANAGERS = frozenset({"management.azure.com", "management.chinacloudapi.cn", "management.usgovcloudapi.net"})


def foreign_endpoints(table: Mapping[str, Any]) -> dict[str, str]:
    """The ends that an [azure] table names and that are not the clouds' own: the setting, and the host with its port."""
    hosts_by_setting = {"authority": OWN_LOGINS, "resource_manager": OWN_MANAGERS}
    return {
        key: _host_and_port(url)
        for key, azure_hosts in hosts_by_setting.items()
        if (url := table.get(key)) and _host_and_port(url) not in azure_hosts
    }


def _host_and_port(url: Any) -> str:
    """Host and port, in the one way that they can be compared; what is no URL is a place of its own."""
    try:
        parts = urlsplit(str(url))
        port = parts.port
    except ValueError:
        return str(url)
    host = (parts.hostname or str(url)).rstrip(".")
    not_comparable = parts.scheme != "https" or parts.username is not None or parts.password is not None
    return str(url) if not_comparable else host if port in (None, 443) else f"{host}:{port}"


def same_endpoint(url: str, other: str) -> bool:
    """Whether two URLs lead to the same host and port."""
    return _host_and_port(url) == _host_and_port(other)


class Azure(Part):
    """Where Azure keeps the cluster, and how the harness logs in there. Without it nothing of Azure is read or touched.

    A secret is never written here: `client_secret_variable` and `client_secret_file` say where it is.
    """

    subscription: str = Field(min_length=1, description="the subscription's id")
    resource_group: str = Field(min_length=1, description="the resource group that holds the load balancer and the virtual machines")
    load_balancer: str | None = Field(None, description="its name; not needed when the resource group has one with the file's frontend")
    virtual_machines: dict[Name, str] = Field({}, description="a host's name here to its virtual machine's; those not named bear the same")
    tenant: str | None = Field(None, description="the directory to log in to, where the credential does not know it")
    credential: Credential = Field("default", description="how to log in; `default` takes the first that there is: docs/azure.md")
    client_id: str | None = Field(None, description="the application, or the user-assigned managed identity")
    client_secret_variable: str | None = Field(None, description="the environment variable that holds the application's secret")
    client_secret_file: Path | None = Field(None, description="the file whose first line is the application's secret")
    cloud: Literal["public", "china", "government"] = "public"
    authority: Https | None = Field(None, description="where tokens come from, when not the cloud's own")
    resource_manager: Https | None = Field(None, description="the management API, when not the cloud's own")
    audience: Https | None = Field(None, description="what tokens are for, when not the cloud's management API")
    ca_file: Path | None = Field(None, description="a private CA that signed the certificates of both")
    instance_discovery: bool = Field(True, description="ask the public cloud whether the authority is known; false for a private one")
    api_versions: dict[ApiProvider, ApiVersion] = Field(
        {}, description="versions of Azure's API to speak, where the cloud does not know the newest: a provider, such as Microsoft.Network"
    )
    poll_s: Seconds = Field(
        5.0, description="how often a long-running operation is asked about, where Azure does not say; less than 1 s is for a stand-in"
    )
    operation_limit_s: Seconds = Field(300.0, description="how long one operation may take")
    event_limit_s: Seconds = Field(
        1500.0,
        description="how long an accepted restart or redeploy may still come, where scheduled events are on: 15 + 10 minutes",
    )
    power: bool | None = Field(
        None, description="whether the suite's power loss goes through Azure; when not said, it does where the file has no [power] commands"
    )
    health_period_s: Seconds = Field(10.0, description="how often a run asks for the load balancer's own view of its members")

    @field_validator("api_versions")
    @classmethod
    def _knows_what_is_judged(cls, versions: dict[str, str]) -> dict[str, str]:
        """An older API leaves out what the harness sets and judges, without a word."""
        for name, version in versions.items():
            minimum = MIN_API_VERSIONS.get(name.lower())
            if minimum and version < minimum:
                raise ValueError(f"{name} = {version!r} knows no probeThreshold; the least is {minimum} (PRB-08)")
        return versions

    @model_validator(mode="after")
    def _can_log_in(self) -> Azure:
        if self.credential != "client-secret":
            return self
        missing = [name for name in ("tenant", "client_id") if getattr(self, name) is None]
        if (self.client_secret_variable is None) is (self.client_secret_file is None):
            missing.append("one of client_secret_variable and client_secret_file")
        if missing:
            raise ValueError(f"credential client-secret also needs {', '.join(missing)}")
        return self

    def machine(self, host: str) -> str:
        """The name of a host's virtual machine."""
        return self.virtual_machines.get(host, host)
