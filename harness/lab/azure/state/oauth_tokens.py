"""The token endpoint, as azure-identity asks it for an application with a secret, and the check of what it handed out."""

from __future__ import annotations

import base64
import json
import re
import secrets
import threading
import time
import uuid
from datetime import UTC, datetime
from urllib.parse import parse_qs

from harness.lab.azure.state import resource_ids
from harness.lab.azure.state.http_types import Answer, Problem, Request

ONE_CLOUD = "2022-09-01"  # the version from which on the clouds are one
ADFS = "adfs"  # in place of a tenant's id
OTHER_AUDIENCES = ("https://management.core.windows.net",)  # by which clients ask for the same
TOKEN_LIFETIME_S = 3600  # a token's life unless a fault shortens it


class Tokens:
    """Hands tokens out, and knows which are good."""

    def __init__(self, secret: str) -> None:
        self._secret = secret
        self._good: dict[str, float] = {}  # until when, seconds on the wall clock
        self._revoked: set[str] = set()
        self._lock = threading.Lock()
        self.lasts_s: float = TOKEN_LIFETIME_S

    def is_secret(self, candidate: str) -> bool:
        """Whether this is the application's secret, compared in constant time."""
        return secrets.compare_digest(candidate.encode(), self._secret.encode())

    def discovery(self, base: str, tenant: str) -> Answer:
        """The tenant's OpenID configuration. Raises Problem for another tenant."""
        if tenant.lower() not in (resource_ids.TENANT, ADFS, "common", "organizations"):
            raise Problem(400, "invalid_tenant", f"AADSTS90002: Tenant '{tenant}' not found; the lab's is {resource_ids.TENANT}.")
        if tenant.lower() == ADFS:  # of an authority of this kind clients ask nobody else whether it is one
            endpoint = f"{base}/{ADFS}"
            return Answer(
                200,
                {
                    "issuer": endpoint,
                    "authorization_endpoint": f"{endpoint}/oauth2/authorize",
                    "token_endpoint": f"{endpoint}/oauth2/token",
                },
            )
        endpoint = f"{base}/{resource_ids.TENANT}"
        return Answer(
            200,
            {
                "issuer": f"{endpoint}/v2.0",
                "authorization_endpoint": f"{endpoint}/oauth2/v2.0/authorize",
                "token_endpoint": f"{endpoint}/oauth2/v2.0/token",
                "jwks_uri": f"{endpoint}/discovery/v2.0/keys",
                "device_authorization_endpoint": f"{endpoint}/oauth2/v2.0/devicecode",
                "token_endpoint_auth_methods_supported": ["client_secret_post"],
                "response_types_supported": ["code"],
                "scopes_supported": ["openid"],
                "subject_types_supported": ["pairwise"],
                "id_token_signing_alg_values_supported": ["RS256"],
            },
        )

    def hand_out(self, form: bytes, base: str = resource_ids.AUDIENCE) -> Answer:
        """A token for the right application, secret and audience; otherwise the endpoint's own error."""
        fields = {key: values[0] for key, values in parse_qs(form.decode("utf-8", "replace")).items()}
        if fields.get("grant_type") != "client_credentials":
            return _refusal(400, "unsupported_grant_type", "AADSTS70003: the lab's token endpoint only knows client_credentials.")
        if fields.get("client_id") != resource_ids.CLIENT_ID:
            return _refusal(400, "unauthorized_client", "AADSTS700016: Application was not found in the lab's directory.")
        if not self.is_secret(fields.get("client_secret", "")):
            return _refusal(401, "invalid_client", "AADSTS7000215: Invalid client secret provided.")
        audience = fields.get("scope") or fields.get("resource", "")  # the second in version 1 of the protocol
        if not _is_audience(audience, base):
            return _refusal(400, "invalid_scope", f"AADSTS70011: the lab's tokens are for {resource_ids.AUDIENCE}/.default only.")
        return Answer(200, {"token_type": "Bearer", "expires_in": int(self.lasts_s), "ext_expires_in": int(self.lasts_s), **self._new()})

    def of_machine(self, machine: str, resource: str) -> dict[str, str]:
        """A token for a machine's own identity, as the metadata service says it: every value is a text.

        Raises Problem for another audience than the resource manager's.
        """
        if not _is_audience(resource):
            raise Problem(400, "invalid_resource", f"AADSTS500011: The resource principal named {resource} was not found in the tenant.")
        client = identity_of(machine)
        lasts, now = int(self.lasts_s), int(time.time())
        times = {"expires_in": str(lasts), "ext_expires_in": str(lasts), "expires_on": str(now + lasts), "not_before": str(now)}
        return {**self._new(client), "client_id": client, **times, "resource": resource, "token_type": "Bearer"}

    def _new(self, client: str = resource_ids.CLIENT_ID) -> dict[str, str]:
        expires_at = time.time() + self.lasts_s
        claims = {
            "aud": resource_ids.AUDIENCE,
            "tid": resource_ids.TENANT,
            "appid": client,
            "exp": int(expires_at),
            "jti": secrets.token_hex(8),
        }
        token = ".".join([_part({"typ": "JWT", "alg": "none"}), _part(claims), secrets.token_urlsafe(24)])
        with self._lock:
            self._good[token] = expires_at
        return {"access_token": token}

    def revoke_all(self) -> None:
        """Whatever was handed out is good no longer, and is challenged whenever it is used (continuous access evaluation)."""
        with self._lock:
            self._revoked |= set(self._good)

    def check(self, request: Request) -> None:
        """Raises Problem, with the challenge that tells a client to come back with another token."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise challenge(request, "AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing.")
        with self._lock:
            expires_at, is_revoked = self._good.get(token), token in self._revoked
        if is_revoked:
            raise revocation_challenge(request)
        if expires_at is None:
            raise challenge(request, "InvalidAuthenticationToken", "The access token is invalid.")
        if time.time() >= expires_at:
            raise challenge(request, "ExpiredAuthenticationToken", "The access token expiry UTC time is in the past.")


def cloud_metadata(base: str, version: str) -> dict[str, object] | list[dict[str, object]]:
    """What `/metadata/endpoints` says of the cloud: one object in 2015-01-01, a list of clouds in 2019-05-01, from 2022-09-01 on one object
    again, as Azure's command line 2.91 takes it. Anybody may ask."""
    ends: dict[str, object] = {"loginEndpoint": base, "audiences": [resource_ids.AUDIENCE, base]}
    if version == "2015-01-01":
        return {"galleryEndpoint": base, "graphEndpoint": base, "portalEndpoint": base, "authentication": ends}
    authentication = {**ends, "tenant": resource_ids.TENANT, "identityProvider": "AAD"}
    cloud: dict[str, object] = {"name": "lab", "portal": base, "graph": base, "resourceManager": base, "suffixes": {}}
    cloud["authentication"] = authentication
    return cloud if version >= ONE_CLOUD else [cloud]


def _is_audience(audience: str, *more_audiences: str) -> bool:
    """Whether a token that is asked for this resource or scope is one for the resource manager."""
    return audience.removesuffix("/.default").rstrip("/") in (resource_ids.AUDIENCE, *OTHER_AUDIENCES, *more_audiences)


def identity_of(machine: str) -> str:
    """The client id of a machine's system-assigned identity."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{resource_ids.machine_id(machine)}/identity"))


def challenge(request: Request, code: str, message: str) -> Problem:
    """401 as the resource manager says it."""
    authority = f"{request.base}/{resource_ids.TENANT}"
    header = f'Bearer authorization_uri="{authority}", error="invalid_token", error_description="{message}"'
    return Problem(401, code, message, {"WWW-Authenticate": header})


def revocation_challenge(request: Request) -> Problem:
    """401 of continuous access evaluation: the token was good and is revoked; a claims challenge comes with it."""
    claims = {"access_token": {"nbf": {"essential": True, "value": str(int(time.time()))}}}
    encoded = base64.b64encode(json.dumps(claims).encode()).decode()
    header = f'Bearer realm="", authorization_uri="{request.base}/common/oauth2/authorize", error="insufficient_claims", claims="{encoded}"'
    message = "The access token has been revoked; a new one is needed (continuous access evaluation)."
    return Problem(401, "InvalidAuthenticationToken", message, {"WWW-Authenticate": header})


def _part(content: dict[str, object]) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


def _refusal(status: int, error: str, description: str) -> Answer:
    """As the token endpoint says it, with what clients read for the cause."""
    code = re.match(r"AADSTS(\d+)", description)
    content = {"error": error, "error_description": description, "error_codes": [int(code[1])] if code else []}
    content |= {"timestamp": f"{datetime.now(UTC):%Y-%m-%d %H:%M:%SZ}", "trace_id": str(uuid.uuid4()), "correlation_id": str(uuid.uuid4())}
    return Answer(status, content)
