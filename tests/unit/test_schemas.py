"""The published schemas are the models', and hold for what the project itself writes."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from harness import cli
from harness.commands.docs import schema as schemas
from harness.core import package_data
from harness.lab.lifecycle import default_cluster

REPOSITORY = Path(__file__).parents[2]


def cluster_schema() -> dict[str, Any]:
    return json.loads(package_data.document("cluster.schema.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", schemas.SCHEMAS)
def test_what_is_published_is_the_model_s(name: str, capsys: pytest.CaptureFixture[str]):
    assert package_data.document(f"{name}.schema.json").read_text(encoding="utf-8") == schemas.text(name), f"run {schemas.REGENERATE}"
    assert cli.main(["schema", name]) == 0
    assert json.loads(capsys.readouterr().out)["$schema"] == schemas.DRAFT


def test_it_takes_the_example_and_the_lab_s_own_file():
    jsonschema.Draft202012Validator.check_schema(cluster_schema())
    example = tomllib.loads((REPOSITORY / "cluster.example.toml").read_text(encoding="utf-8"))
    jsonschema.validate(example, cluster_schema())
    jsonschema.validate(json.loads(json.dumps(default_cluster.cluster_data(), default=str)), cluster_schema())


@pytest.mark.parametrize(
    ("table", "wrong"),
    [
        ("", {"desing": "nat"}),
        ("load_balancer", {"idle_timeout_s": "4 minutes"}),
        ("manager", {"kind": "keepalived"}),
        ("lab", {"profil": "fast"}),
    ],
)
def test_an_editor_sees_what_is_wrong(table: str, wrong: dict[str, Any]):
    example = tomllib.loads((REPOSITORY / "cluster.example.toml").read_text(encoding="utf-8"))
    (example.setdefault(table, {}) if table else example).update(wrong)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(example, cluster_schema())


def test_init_names_it_for_editors(tmp_path: Path):
    words = "--node a=10.20.1.11,10.20.2.11 --node b=10.20.1.12,10.20.2.12 --client c=10.20.1.20 --frontend 10.20.1.200"
    more = ["--service", "web=http:80:iis", "--key", "key", "--known-hosts", "hosts", str(tmp_path / "customer.toml")]
    assert cli.main(["init", *words.split(), *more]) == 0
    first, _, rest = (tmp_path / "customer.toml").read_text(encoding="utf-8").partition("\n")
    assert first == f"#:schema {package_data.document('cluster.schema.json').as_uri()}"
    jsonschema.validate(tomllib.loads(rest), cluster_schema())
