"""A canary in every setting, environment variable and command that may lead to a secret, found by the schema and by the code: a new one is
covered by itself, or this fails until somebody says why it holds none."""

from __future__ import annotations

import ast
import copy
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.collect.known_secrets import known_secrets, without_secrets
from harness.config import cluster_config
from harness.core.errors import BadUse
from harness.core.redaction.output_redaction import Cleaner
from harness.core.redaction.redactor import Redactor
from harness.core.redaction.secret_names import sensitive
from harness.lab.lifecycle import default_cluster
from harness.plugins.extension_points import SERVICES
from tests.secret_encoding_cases import found_in

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((ROOT / "docs" / "cluster.schema.json").read_text())
CANARY = "canary-7Qz-4x9"
FILES = ("_file", "key")  # how settings are called that name a file with a secret,
VARIABLES = ("_env", "_variable")  # a variable of this machine,
COMMANDS = ("_command", "off", "on", "reboot", "freeze", "thaw")  # a command
NO_SECRET = {"ca_file": "a certificate", "known_hosts": "host keys"}  # files that hold none
NO_SECRETS_NAMED_SO = {"tokens": "rows that are written to see what survives"}
TOGETHER = {"freeze": "thaw", "thaw": "freeze"}  # of [power]

AZURE = {
    "subscription": "s",
    "resource_group": "g",
    "tenant": "t",
    "client_id": "c",
    "credential": "client-secret",
}


def resolved(part: Mapping[str, Any]) -> Mapping[str, Any]:
    return SCHEMA["$defs"][part["$ref"].rpartition("/")[2]] if "$ref" in part else part


def leaves(part: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Each setting that takes text or words, as the path to it and its type."""
    for one in (part, *part.get("anyOf", []), *part.get("allOf", [])):
        one = resolved(one)
        for name, inner in one.get("properties", {}).items():
            yield from leaves(inner, (*path, name))
        if one.get("type") == "array":
            items = resolved(one.get("items", {}))
            if items.get("type") == "string":
                yield path, "paths" if items.get("format") == "path" else "words"
            else:
                yield from leaves(items, (*path, "0"))
        elif one.get("type") == "string":
            yield path, "path" if one.get("format") == "path" or path[-1] == "root" else "text"


SETTINGS = sorted({leaf for leaf in leaves(SCHEMA) if leaf[0][0] != "lab"})


def cluster_data(path: tuple[str, ...]) -> dict[str, Any]:
    data = copy.deepcopy(default_cluster.cluster_data(overrides={"power": {"off": ["cut"], "on": ["give"]}}))
    data.pop("lab", None)
    if path[0] == "azure":
        data["azure"] = dict(AZURE)
    return data


def put(data: Any, path: tuple[str, ...], value: Any) -> None:
    for name in path[:-1]:
        data = data[int(name)] if isinstance(data, list) else data.setdefault(name, {})
    data[path[-1]] = value


def leads(path: tuple[str, ...], kind: str) -> str:
    """What this setting names: a file, a variable or a command with a secret, or "" for none."""
    name = path[-1]
    if name in NO_SECRET:
        return ""
    if name.endswith(FILES):
        return "file"
    if name.endswith(VARIABLES):
        return "variable"
    return "command" if kind == "words" and (path[0] == "power" or name.endswith(COMMANDS)) else ""


def known(data: dict[str, Any], folder: Path) -> set[str]:
    return known_secrets(cluster_config.parse(data, folder / "cluster.toml"), data, {"MINE": CANARY})[0]


LEADING = [(path, kind) for path, kind in SETTINGS if leads(path, kind)]


@pytest.mark.parametrize(("path", "kind"), LEADING, ids=[".".join(path) for path, _ in LEADING])
def test_a_setting_that_leads_to_a_secret_makes_it_known(path, kind, tmp_path):
    (tmp_path / "secret").write_text(f"{CANARY}\n")
    data = cluster_data(path)
    put(data, path, {"file": str(tmp_path / "secret"), "variable": "MINE", "command": ["a", "--password", CANARY]}[leads(path, kind)])
    if path[-1] in TOGETHER:
        put(data, (path[0], TOGETHER[path[-1]]), ["b"])
    found = known(data, tmp_path)
    assert CANARY in found, path
    assert not found_in(Cleaner(found).text(f"it said {CANARY}.").encode(), CANARY)


def test_those_that_are_known_to_lead_to_one_are_among_them():
    names = {".".join(path) for path, _ in LEADING}
    assert {"azure.client_secret_file", "azure.client_secret_variable", "client.ssh.key", "nodes.0.ssh.key", "power.off"} <= names


@pytest.mark.parametrize(("path", "kind"), SETTINGS, ids=[".".join(path) for path, _ in SETTINGS])
def test_a_password_in_any_setting_gets_nowhere(path, kind, tmp_path):
    """Written where none belongs: neither the loader's sentence nor what a bundle or a run keeps of the file has it."""
    value: Any = f"/x?password={CANARY}" if kind in ("path", "paths") else f"https://me:{CANARY}@host/?password={CANARY}"
    data = cluster_data(path)
    put(data, path, {"words": [value, f"--token={CANARY}"], "paths": [value]}.get(kind, value))
    try:
        cluster = cluster_config.parse(data, tmp_path / "cluster.toml")
    except BadUse as error:
        assert CANARY not in Cleaner().for_terminal(str(error))
        return
    kept = json.dumps(without_secrets(data, Redactor(known_secrets(cluster, data, {})[0])))
    assert not found_in(kept.encode(), CANARY), kept
    assert CANARY not in json.dumps(Cleaner().data(json.loads(cluster.model_dump_json())))


def settings_of_kinds() -> list[tuple[str, str]]:
    """Every setting of every kind of service of ours, as its module says."""
    import importlib

    found = []
    for name, (kind,) in SERVICES.usable().items():
        module = importlib.import_module(kind.__module__ if isinstance(kind, type) else type(kind).__module__)
        found += [(name, setting) for setting in sorted(module.SETTINGS)]
    return found


KINDS = settings_of_kinds()


@pytest.mark.parametrize(("kind", "setting"), KINDS)
def test_a_service_setting_that_leads_to_a_secret_makes_it_known(kind, setting, tmp_path):
    assert not sensitive(setting) or setting in NO_SECRETS_NAMED_SO, f"{setting} holds a secret itself, which no cluster file may"
    (tmp_path / "secret").write_text(f"{CANARY}\n")
    told = {"file": str(tmp_path / "secret"), "env": "MINE", "variable": "MINE", "command": f"echo {CANARY}"}
    what = next((how for how in told if setting.endswith(f"_{how}")), "")
    if not what or setting in NO_SECRET:
        return
    data = cluster_data(("services",))
    data["services"][0] |= {"kind": kind, "settings": {setting: told[what]}}
    assert CANARY in known(data, tmp_path)


# Variables of this machine's environment that the product reads, and that hold no secret.
OPEN = {
    *("HOME", "PATH", "PYTHONPATH", "TERM", "SSH_AUTH_SOCK", "SSH_CONNECTION", "XDG_STATE_HOME", "XDG_CACHE_HOME", "PYTEST_TIMEOUT"),
    *("LKHARNESS_ROOT", "LKHARNESS_CLUSTER", "LKSTANDIN_CONFIG"),
}


def variables_read() -> set[str]:
    """Each name of `os.environ` that stands in the product's code."""
    found = set()
    for file in (ROOT / "harness").rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        if "environ" not in text and "getenv" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            inner = node.slice if isinstance(node, ast.Subscript) and ast.unparse(node.value).endswith("os.environ") else None
            if isinstance(node, ast.Call) and re.search(r"os\.environ\.(get|pop)$|os\.getenv$", ast.unparse(node.func)) and node.args:
                inner = node.args[0]
            if isinstance(inner, ast.Constant) and isinstance(inner.value, str):
                found.add(inner.value)
    return found


def test_a_variable_that_the_product_reads_is_open_or_taken_for_a_secret():
    read = variables_read()
    assert {"PATH", "LKHARNESS_CLUSTER"} <= read
    assert {name for name in read - OPEN if not sensitive(name)} == set()


# What azure-identity reads (its own reference, EnvironmentCredential and WorkloadIdentityCredential), and what services' clients do.
SECRET_VARIABLES = (
    *("AZURE_CLIENT_SECRET", "AZURE_PASSWORD", "AZURE_CLIENT_CERTIFICATE_PASSWORD", "PGPASSWORD", "MSSQL_SA_PASSWORD", "SQLCMDPASSWORD"),
    *("MYSQL_PWD", "SSHPASS", "VAULT_TOKEN", "AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "SYSTEM_ACCESSTOKEN", "CI_JOB_TOKEN"),
)


@pytest.mark.parametrize("name", SECRET_VARIABLES)
def test_a_variable_that_holds_a_secret_makes_it_known(name, tmp_path):
    cluster = cluster_config.parse(cluster_data(("name",)), tmp_path / "cluster.toml")
    assert CANARY in known_secrets(cluster, {}, {name: CANARY})[0]


def test_a_variable_that_names_a_file_with_a_token_makes_it_known(tmp_path):
    (tmp_path / "token").write_text(f"{CANARY}\n")
    cluster = cluster_config.parse(cluster_data(("name",)), tmp_path / "cluster.toml")
    assert CANARY in known_secrets(cluster, {}, {"AZURE_FEDERATED_TOKEN_FILE": str(tmp_path / "token")})[0]
    assert (
        known_secrets(cluster, {}, {"AZURE_FEDERATED_TOKEN_FILE": str(tmp_path / "gone"), "LOG_FILE": str(tmp_path / "token")})[0] == set()
    )
