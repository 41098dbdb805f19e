"""Pipelines: what `init --pipeline` writes is what the services' own schemas allow, and its shell step does what it should."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path

import pytest

from harness import cli
from harness.commands.init.init_pipeline import KINDS, STEP, text
from harness.core import package_data
from harness.history.retention_plan import DEFAULT_SPANS
from harness.pytest_plugin.pytest_options import add_options

SCHEMAS = {
    "github": ["vendor.github-workflows"],
    "azure-devops": ["vendor.azure-pipelines", "--data-transform", "azure-pipelines", "--regex-variant", "nonunicode"],
    "gitlab": ["vendor.gitlab-ci", "--data-transform", "gitlab-ci"],
}

KEEP = "--keep default --yes"

FAKE = """#!/bin/sh
echo "$0 $*" >> "$CALLS"
case "$1" in
  -c) exec "$REAL_PYTHON" "$@" ;;
  -m) [ "$2" = venv ] && mkdir -p "$3/bin" && cp "$0" "$3/bin/pip" && cp "$0" "$3/bin/lkharness" ;;
  failover)
    for word; do [ "$last" != --run-file ] || file=$word; last=$word; done
    [ -z "$BEGINS" ] || { mkdir -p "$LKHARNESS_REPORTS/tonight"; echo "$LKHARNESS_REPORTS/tonight" > "$file"; }
    mkdir -p "$LKHARNESS_REPORTS/another cluster's" && ln -sfn "another cluster's" "$LKHARNESS_REPORTS/latest"
    touch "$LKHARNESS_REPORTS/another cluster's/theirs"
    exit "$FAILOVER" ;;
  history) exit "$HISTORY" ;;
esac
exit 0
"""


@pytest.mark.parametrize("kind", list(KINDS))
def test_every_kind_is_written_whole_and_not_over_what_is_there(kind, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["init", "--pipeline", kind, "--json"]) == 0
    files = json.loads(capsys.readouterr().out)["files"]
    assert files == list(KINDS[kind].values())
    for file in files:
        said = Path(file).read_text()
        assert "@STEP@" not in said and "\t" not in said
    if kind not in ("systemd", "kubernetes", "kubernetes-fleet"):
        step = package_data.document(f"pipelines/{STEP}").read_text().splitlines()
        lines = [line.strip() for line in Path(files[0]).read_text().splitlines()]
        place = lines.index(step[0])
        assert lines[place : place + len(step)] == [line.strip() for line in step]
    before = {file: Path(file).read_bytes() for file in files}
    assert cli.main(["init", "--pipeline", kind]) == 2
    assert capsys.readouterr().err.count("\n") == 1 and {file: Path(file).read_bytes() for file in files} == before


def test_an_unknown_kind_is_bad_use(capsys):
    assert cli.main(["init", "--pipeline", "travis"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.skipif(not shutil.which("sh"), reason="there is no sh")
@pytest.mark.parametrize(("failover", "history", "code"), [(0, 0, 0), (1, 0, 1), (3, 4, 3), (0, 4, 0)])
def test_the_shell_step_ends_with_the_runs_own_code_whatever_the_history_says(tmp_path, failover, history, code):
    """A stand-in takes Python's place, so that nothing is installed: what is called is what is looked at."""
    fake = tmp_path / "bin" / "python3"
    fake.parent.mkdir()
    fake.write_text(FAKE)
    fake.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{fake.parent}{os.pathsep}{os.environ['PATH']}",
        "CALLS": str(tmp_path / "calls"),
        "FAILOVER": str(failover),
        "HISTORY": str(history),
        "LKHARNESS_CLUSTER": "a cluster.toml",
        "LKHARNESS_REPORTS": str(tmp_path / "the reports"),
    }
    step = package_data.document(f"pipelines/{STEP}").read_text()
    last_night = tmp_path / "the reports" / "last night"
    last_night.mkdir(parents=True)
    (last_night.parent / "latest").symlink_to(last_night.name)
    (tmp_path / "lkharness-report").mkdir()
    (tmp_path / "lkharness-tonight").write_text(f"{last_night}\n")
    for begins in ("", "yes"):  # a run that never began leaves nothing to keep, least of all last night's report, or another cluster's
        (tmp_path / "calls").write_text("")
        done = subprocess.run(["sh", "-c", step], cwd=tmp_path, env={**environment, "BEGINS": begins}, capture_output=True, text=True)
        assert done.returncode == code, done.stderr
        assert (tmp_path / "lkharness-report").is_dir() == bool(begins) != ("no run began" in done.stderr)
        assert not (tmp_path / "lkharness-report" / "theirs").exists()
    calls = (tmp_path / "calls").read_text().splitlines()
    assert [line.split()[1] for line in calls] == ["-m", "install", "failover", "history"]
    assert "--cluster a cluster.toml --allow-disruption" in calls[2] and calls[3].endswith(f"history {tmp_path / 'the reports'} {KEEP}")


def test_the_command_of_the_step_and_of_the_service_is_one_that_there_is(tmp_path):
    """Its options are asked of the product itself; only the cluster file is missing, which is what it says."""
    words = "--allow-disruption --disruption switchover --repeat 16 --gate gate.toml --reports"
    assert words in package_data.document(f"pipelines/{STEP}").read_text() and words in text("lkharness.service")
    assert words.replace(" ", ", ").replace("16", '"16"').replace("gate.toml", "config/gate.toml") in text("kubernetes.yaml")
    assert words.replace(" ", ", ").replace("16", '"16"').replace("gate.toml", "this/gate.toml") in text("kubernetes-fleet.yaml")
    command = ["failover", "--cluster", "none.toml", *words.split(), str(tmp_path)]
    done = subprocess.run([sys.executable, "-m", "harness.cli", *command], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2 and "gate.toml: cannot be read" in done.stdout + done.stderr


@pytest.mark.parametrize("kind", list(KINDS))
def test_every_kind_keeps_what_the_default_says_each_night(kind):
    """Whoever does nothing else has a folder that does not grow without end."""
    (line,) = [line for file in KINDS[kind] for line in text(file).splitlines() if "lkharness history " in line]
    assert f" {KEEP}" in line
    assert f"`{KEEP}`" in package_data.document("pipelines.md").read_text()
    assert " and ".join(f"`{span}`" for span in DEFAULT_SPANS) in package_data.document("history.md").read_text()


def test_the_options_of_the_unit_are_those_that_there_are():
    """Of the notification, too, which is off until somebody is named."""
    said = text("lkharness.service")
    parser = pytest.Parser(_ispytest=True)
    add_options(parser)
    known = {name for group in parser._groups for option in group.options for name in option.names()}
    begin = next(line for line in said.splitlines() if line.startswith("ExecStart="))
    assert set(re.findall(r" (--[a-z-]+)", begin)) <= known and "--notify" in known
    assert begin.endswith(" $LKHARNESS_NOTIFY") and '# Environment="LKHARNESS_NOTIFY=--notify ' in said
    (tonight,) = re.findall(r"--run-file (\S+)", begin)
    assert f"ExecStartPre=/bin/rm -f {tonight}" in said and f"ConditionPathExists=!{tonight}" in text("lkharness-failed.service")
    assert "OnFailure=lkharness-failed.service" in said


def test_no_template_publishes_what_may_be_another_nights():
    for name in (file for files in KINDS.values() for file in files):
        assert "latest" not in text(name), name


@pytest.mark.skipif(not shutil.which("sh") or not shutil.which("sha256sum"), reason="there is no sh, or no sha256sum")
def test_kubernetes_agrees_to_the_file_whose_hash_was_written_down_and_runs_without_a_shell(tmp_path):
    said = text("kubernetes.yaml")
    prepare, run = said.split("\n          containers:\n")
    assert "command: [/lkharness/.lkharness/bin/lkharness]" in run and "/bin/sh" not in run
    script = textwrap.dedent(prepare.split("- |\n")[1].split("              volumeMounts")[0])
    cluster = tmp_path / "cluster.toml"
    cluster.write_text("name = 'a'")
    fake = tmp_path / "bin" / "python3"
    fake.parent.mkdir()
    fake.write_text(FAKE)
    fake.chmod(0o755)
    environment = {**os.environ, "PATH": f"{fake.parent}{os.pathsep}{os.environ['PATH']}", "CALLS": str(tmp_path / "calls")}
    environment |= {"LKHARNESS_CLUSTER": str(cluster), "LKHARNESS_REPORTS": str(tmp_path / "reports"), "HISTORY": "2"}
    for hash, good in (("", False), ("0" * 64, False), (hashlib.sha256(cluster.read_bytes()).hexdigest(), True)):
        (tmp_path / "calls").write_text("")
        words = {**environment, "LKHARNESS_CLUSTER_SHA256": hash}
        done = subprocess.run(["sh", "-c", script], cwd=tmp_path, env=words, capture_output=True, text=True)
        calls = (tmp_path / "calls").read_text()
        assert (done.returncode == 0) == good == (f"trust --yes {cluster}" in calls), done.stderr


@pytest.mark.skipif(not shutil.which("sh") or not shutil.which("sha256sum"), reason="there is no sh, or no sha256sum")
@pytest.mark.parametrize(
    ("index", "agreed", "says"),
    [
        ("0", "a.toml b.toml", ""),
        ("1", "a.toml b.toml", ""),
        ("1", "a.toml", "no properly formatted"),
        ("2", "a.toml b.toml", "matrix.json has 2 entries and none of index 2; set completions to that number"),
    ],
)
def test_each_pod_of_a_fleet_takes_its_own_cluster_file_as_far_as_it_was_agreed_to(tmp_path, index, agreed, says):
    prepare, run = text("kubernetes-fleet.yaml").split("\n          containers:\n")
    assert "command: [/lkharness/.lkharness/bin/lkharness]" in run and "/bin/sh" not in run
    script = textwrap.dedent(prepare.split("- |\n")[1].split("              volumeMounts")[0])
    config, reports = tmp_path / "config", tmp_path / "all reports"
    config.mkdir()
    for name in ("a", "b"):
        (config / f"{name}.toml").write_text(f"name = '{name}'")
    matrix = [{"index": 0, "cluster": "a.toml", "name": "a"}, {"index": 1, "cluster": "b.toml", "name": "b"}]
    (config / "matrix.json").write_text(json.dumps({"include": matrix}))
    fake = tmp_path / "bin" / "python3"
    fake.parent.mkdir()
    fake.write_text(FAKE)
    fake.chmod(0o755)
    environment = {**os.environ, "PATH": f"{fake.parent}{os.pathsep}{os.environ['PATH']}", "CALLS": str(tmp_path / "calls")}
    environment |= {
        "REAL_PYTHON": sys.executable,
        "LC_ALL": "C",
        "LKHARNESS_REPORTS": str(reports),
        "JOB_COMPLETION_INDEX": index,
        "HISTORY": "2",
    }
    environment["LKHARNESS_AGREED"] = "\n".join(f"{hashlib.sha256((config / n).read_bytes()).hexdigest()}  {n}" for n in agreed.split())
    done = subprocess.run(["sh", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True)
    if says:
        assert done.returncode != 0 and says in done.stderr and "trust" not in (tmp_path / "calls").read_text()
        return
    name = matrix[int(index)]["name"]
    assert done.returncode == 0 and (tmp_path / "this/cluster.toml").read_text() == f"name = '{name}'", done.stderr
    assert (tmp_path / "reports").resolve() == reports / name and "trust --yes this/cluster.toml" in (tmp_path / "calls").read_text()


def test_what_ours_is_checked_against_is_locked_and_installed_for_the_deep_tests():
    """Or the tests below, and those against scipy, would be skipped everywhere."""
    repository = package_data.REPOSITORY
    assert repository is not None
    extra = tomllib.loads((repository / "pyproject.toml").read_text())["project"]["optional-dependencies"]["crosscheck"]
    lock = (repository / "requirements-crosscheck.lock").read_text()
    for name in (re.split("[<>=]", requirement)[0] for requirement in extra):
        assert re.search(rf"^{name}==", lock, re.MULTILINE), name
    assert re.search(r'^ *case " \$\* " in \*" --deep "\*\) \(want_crosscheck\)', (repository / "run").read_text(), re.MULTILINE)


@pytest.mark.parametrize("kind", list(SCHEMAS))
def test_the_services_own_schemas_allow_them(kind, tmp_path):
    pytest.importorskip("check_jsonschema", reason="check-jsonschema is of the extra `crosscheck`")
    file = tmp_path / "pipeline.yml"
    file.write_text(text(next(iter(KINDS[kind]))))
    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", *SCHEMAS[kind], file], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("kind", ["kubernetes", "kubernetes-fleet"])
def test_kubernetes_own_schema_allows_them(kind, tmp_path):
    pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is of the extra `crosscheck`")
    file = tmp_path / "pipeline.yaml"
    file.write_text(text(next(iter(KINDS[kind]))))
    done = subprocess.run([sys.executable, "-m", "kubernetes_validate", "--strict", "-k", "1.31", file], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd-analyze")
def test_systemd_takes_its_units(tmp_path):
    for name in KINDS["systemd"]:
        program = re.sub(r"/opt/lkharness/bin/\w+", "/bin/true", text(name))
        (tmp_path / name).write_text(program)
    files = [tmp_path / name for name in KINDS["systemd"]]
    done = subprocess.run(["systemd-analyze", "verify", *files], capture_output=True, text=True)
    complaints = [line for line in done.stderr.splitlines() if "lkharness" in line]
    assert not complaints, complaints
