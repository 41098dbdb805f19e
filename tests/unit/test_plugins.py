"""Implementations are found one way: by being in the package, or as an entry point of an installed one."""

from __future__ import annotations

import copy
import re
import subprocess
import sys
from pathlib import Path

import pytest
from plugin_packages import install, installed

from harness import cli
from harness.collect import collectors
from harness.config import cluster_config
from harness.config.cluster_file_writer import service_of
from harness.core.errors import BadUse, ExitCode, Unusable
from harness.disrupt import disruption
from harness.lab import lab_config
from harness.lab.lifecycle import default_cluster
from harness.managers.manager import Manager, Says
from harness.managers.manager_registry import manager_of
from harness.plugins.extension_points import COLLECTORS, DISRUPTIONS, MANAGERS, SERVICES
from harness.pytest_plugin.measurement_plan import MeasurementOptions, Plan
from harness.services import service_registry

KIND = """
from harness.services.service_kind import Hello, Identity, ServiceKind

class Redis(ServiceKind):
    kind = "redis"
    usual_ports = (6379, 5432)

    def who_are_you(self, host, port, *, settings, deadline):
        return Identity(kind=self.kind, said="PONG")

    def hello(self, settings):
        return Hello(b"PING\\r\\n", b"PONG", keeps=True)
"""
REDIS = "[lkharness.services]\nredis = lk_redis:Redis\n"


def cluster(kind: str) -> cluster_config.Cluster:
    data = copy.deepcopy(default_cluster.cluster_data())
    data["services"] = [{"name": "cache", "kind": kind, "port": 6379, "tag": "cache"}]
    return cluster_config.parse(data, Path("cluster.toml"))


def test_what_is_in_the_package_is_there() -> None:
    assert set(SERVICES.built_in()) == {"http", "mssql", "oracle", "postgres", "tcp"}
    for name in SERVICES.built_in():
        assert SERVICES.get(name).kind == name
    assert set(MANAGERS.built_in()) == {"lifekeeper", "lifekeeper-windows", "pacemaker", "wsfc"}
    for name in MANAGERS.built_in():
        assert MANAGERS.get(name).platform == ("windows" if name in ("lifekeeper-windows", "wsfc") else "linux")


def test_nothing_is_imported_or_looked_for_before_it_is_asked_for() -> None:
    ask = (
        "import sys; import harness.config.cluster_config; from harness.plugins.extension_points import SERVICES as s; s.get('tcp'); "
        "print([m for m in sys.modules if m.startswith('harness.services.kinds.')], 'harness.plugins.entry_points' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True).stdout.strip()
    assert said == "['harness.services.kinds.tcp'] False"


@pytest.mark.parametrize("value", ["lk_redis:Redis", "lk_redis", "lk_redis : Redis [extra]"])
def test_a_plug_in_is_used_as_one_of_the_package(value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "lk_redis", {"lk_redis.py": KIND}, f"[other]\nredis = no\n\n[lkharness.services]\n# one\nredis = {value}\n")
    with installed(monkeypatch, tmp_path):
        assert SERVICES.names() == ["http", "mssql", "oracle", "postgres", "redis", "tcp"]
        assert service_registry.kind("redis").hello({}).say == b"PING\r\n"
        assert service_registry.kind_of_port(6379) == "redis"
        assert service_registry.kind_of_port(5432) == "postgres", "this product's own come first"
        assert cluster("redis").services[0].kind == "redis"
        assert service_of("cache=redis:6379:cache").kind == "redis"
        assert "redis" in cluster_config.Cluster.model_json_schema()["$defs"]["Service"]["properties"]["kind"]["enum"]
        assert SERVICES.faults() == []
    with pytest.raises(BadUse, match=r"services\[0\]\.kind: there is no service kind redis; known: http, mssql, oracle, postgres, tcp"):
        cluster("redis")


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("lk_redis_that_is_not_there", r"it cannot be imported \(ModuleNotFoundError: "),
        ("lk_broken:Redis", r"it cannot be imported \(ZeroDivisionError: division by zero\)"),
        ("lk_ends:Redis", r"it cannot be imported \(SystemExit: 3\)"),
        ("lk_half:Gone", r"it cannot be imported \(AttributeError: "),
        ("", r"it cannot be imported \(ValueError: an entry point is written NAME = MODULE:CLASS\)"),
        ("lk_half:Redis", "lk_half:Redis does not give one class that is derived from ServiceKind, with kind and all its methods"),
        ("lk_two", "lk_two does not give one class"),
        ("lk_empty", "lk_empty does not give one class"),
        ("lk_empty:NAME", "lk_empty:NAME does not give one class"),
    ],
)
def test_one_that_cannot_be_used_is_a_sentence_and_hides_nothing_else(
    value: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    half, two = KIND.replace("def hello", "def hullo"), f"{KIND}\nclass Other(Redis):\n    pass\n"
    modules = {"lk_broken.py": "1 / 0\n", "lk_ends.py": "raise SystemExit(3)\n", "lk_half.py": half, "lk_two.py": two}
    install(tmp_path, "lk_faulty", {**modules, "lk_empty.py": "NAME = 1\n"}, f"[lkharness.services]\nredis = {value}\n")
    with installed(monkeypatch, tmp_path):
        with pytest.raises(
            Unusable, match=rf"\Athe plug-in lk_faulty 1\.0 \(lkharness\.services: redis = .*\) cannot be used: {why}"
        ) as said:
            cluster("redis")
        assert said.value.exit_code is ExitCode.UNUSABLE and "\n" not in str(said.value)
        assert SERVICES.faults() == [str(said.value)]
        assert cluster("http").services[0].kind == "http"
        assert service_registry.kind_of_port(6379) == "tcp"


def test_a_name_of_the_product_cannot_be_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "lk_thief", {"lk_thief.py": KIND}, "[lkharness.services]\nhttp = lk_thief\n")
    with installed(monkeypatch, tmp_path):
        assert type(service_registry.kind("http")).__module__ == "harness.services.kinds.http"
        [fault] = SERVICES.faults()
        assert "lk_thief 1.0" in fault and "the name http is this product's own" in fault


def test_a_name_that_two_plug_ins_give_is_neither_one_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("lk_one", "lk_two"):
        install(tmp_path, name, {f"{name}.py": KIND}, f"[lkharness.services]\nredis = {name}\n")
    with installed(monkeypatch, tmp_path):
        with pytest.raises(Unusable, match=r"the plug-in lk_(one|two) 1\.0 .*: lk_(one|two) 1\.0 gives the same name"):
            cluster("redis")
        assert cluster("http").services[0].kind == "http"


def test_one_package_s_faulty_metadata_is_its_own_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What no installer would have written: no metadata beside the entry points, lines that say nothing, bytes that are no text; and a
    package that is on the path twice is one."""
    install(tmp_path / "first", "lk_redis", {"lk_redis.py": KIND}, f"nonsense\n{REDIS}nothing\n")
    (tmp_path / "first" / "lk_redis-1.0.dist-info" / "METADATA").unlink()
    install(tmp_path / "second", "LK.Redis", {}, REDIS)
    install(tmp_path / "second", "lk_bytes", {}, "")
    (tmp_path / "second" / "lk_bytes-1.0.dist-info" / "entry_points.txt").write_bytes(b"[lkharness.services]\nredis = \xff\xfe\n")
    with monkeypatch.context() as path, installed(path, tmp_path / "second"), installed(path, tmp_path / "first"):
        assert service_registry.kind("redis").kind == "redis"
        assert SERVICES.plugged_in()["redis"][0].package == "lk_redis 1.0"
        assert [fault.partition(" cannot")[0] for fault in SERVICES.faults()] == [
            "the plug-in lk_redis 1.0 (lkharness.services: nothing = )"
        ]


def test_a_lab_says_which_kinds_it_has_servers_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "lk_redis", {"lk_redis.py": KIND}, REDIS)
    with installed(monkeypatch, tmp_path), pytest.raises(BadUse, match="cache is of kind redis, and the lab has servers of http, mssql"):
        lab_config.make_lab_config(cluster("redis"), Path("cluster.toml"))


KEEPER = """
from harness.managers.kinds.pacemaker import Pacemaker

class Fork(Pacemaker):
    name = "a fork of Pacemaker"
"""
KEEPERS = "[lkharness.managers]\nfork = lk_fork:Fork\n"


def test_a_cluster_manager_is_plugged_in_the_same_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "lk_fork", {"lk_fork.py": KEEPER}, KEEPERS)
    data = {**default_cluster.cluster_data(), "manager": {"kind": "fork"}}
    with installed(monkeypatch, tmp_path):
        cluster = cluster_config.parse(data, Path("cluster.toml"))
        assert manager_of(cluster, {}).name == "a fork of Pacemaker"
        with pytest.raises(BadUse, match=r"manager\.kind: fork runs in no lab, which has lifekeeper or pacemaker"):
            lab_config.make_lab_config(cluster, Path("cluster.toml"))
    with pytest.raises(BadUse, match=r"manager\.kind: there is no cluster manager fork; known: lifekeeper, lifekeeper-w"):
        cluster_config.parse(data, Path("cluster.toml"))


def test_what_an_adapter_does_not_ask_is_never_yes() -> None:
    """Without a word of its own on whether it may be done, nothing is done."""
    methods = {name: lambda self, *a, **b: None for name in Manager.__abstractmethods__}
    mute = type("Mute", (Manager,), methods)({}, {})
    answers = [mute.may_switch_over("n1"), mute.fencing(), mute.mirror("n1"), mute.starts_at_boot()]
    assert [answer.says for answer in answers] == [Says.CANNOT_TELL] * 4


def test_init_offers_managers_that_are_plugged_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install(tmp_path, "lk_fork", {"lk_fork.py": KEEPER}, KEEPERS)
    words = "--node a=10.20.1.11,10.20.2.11 --node b=10.20.1.12,10.20.2.12 --client c=10.20.1.20 --frontend 10.20.1.200"
    given = ["init", *words.split(), "--service", "web=http:80:w", str(tmp_path / "mine.toml")]
    with installed(monkeypatch, tmp_path):
        assert cli.main([*given, "--manager", "fork"]) == 0
        assert cluster_config.load(tmp_path / "mine.toml").manager.kind == "fork"
        capsys.readouterr()
        assert cli.main([*given, "--manager", "frok", "--force"]) == 2
        assert "did you mean fork? (choose from 'fork', 'lifekeeper'," in capsys.readouterr().err
        with pytest.raises(SystemExit):
            cli.main(["init", "--help"])
        assert "--manager {fork,lifekeeper,lifekeeper-windows,pacemaker,wsfc}" in capsys.readouterr().out


def test_no_help_but_its_own_looks_for_plug_ins(tmp_path: Path) -> None:
    ask = (
        "import sys, contextlib, io; from harness import cli\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit): cli.main(['--help'])\n"
        "print([m for m in sys.modules if m.startswith(('harness.plugins', 'importlib.metadata'))])"
    )
    assert subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True).stdout.strip() == "[]"


DRILL = """
from harness.disrupt.none import Nothing

class Drill(Nothing):
    name = "a drill"

class AnotherDrill(Nothing):
    name = "another drill"
"""


def planned(names: tuple[str, ...] = ()) -> list[str]:
    plan = Plan(names, MeasurementOptions(0.01, 1, 0, None))
    return [one.name for one in plan.measurements(cluster("http"))]


NO_DISRUPTIONS = {"azure.azure-base", "disruption", "lease-and-role-check", "move-permission", "undo"}  # what all of them are made with


def test_no_file_of_disruptions_is_passed_over() -> None:
    """A class that lacks `expects`, or a method, is none; a file whose classes are all none is an oversight."""
    found = DISRUPTIONS.built_in_classes()
    silent = {name for name, classes in found.items() if not classes and "bases." not in name}
    assert silent == NO_DISRUPTIONS


def test_every_disruption_of_the_package_has_a_name_of_its_own() -> None:
    kinds = [kind for kinds in DISRUPTIONS.built_in_classes().values() for kind in kinds]
    assert len({kind.name for kind in kinds}) == len(kinds) >= 28


def test_disruptions_are_plugged_in_the_same_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module may give several; they are planned, found by their names, and gone with their package."""
    before = planned()
    install(tmp_path, "lk_drills", {"lk_drills.py": DRILL}, "[lkharness.disruptions]\ndrills = lk_drills\n")
    with installed(monkeypatch, tmp_path):
        assert planned() == sorted([*before, "a drill", "another drill"])
        assert disruption.get_disruption("a drill").__module__ == "lk_drills" and disruption.faults() == []
    assert planned() == before
    with pytest.raises(BadUse, match="there is no disruption 'a drill'; there are "):
        disruption.get_disruption("a drill")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("raise OSError('no such thing')\n", r"it cannot be imported \(OSError: no such thing\)"),
        (DRILL.replace("another drill", "none"), "there is another disruption 'none', so give it a name of its own"),
        (DRILL.replace("name =", "title =").replace("Nothing", "Disruption").replace("none", "disruption"), "with name, sentence, expects"),
    ],
)
def test_a_disruption_that_cannot_be_used_is_told_to_who_wants_all(
    text: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, "lk_drills", {"lk_drills.py": text}, "[lkharness.disruptions]\ndrills = lk_drills\n")
    with installed(monkeypatch, tmp_path):
        assert planned(("none",)) == ["none"]
        assert disruption.get_disruption("none").__module__ == "harness.disrupt.none"
        assert "lk_drills" not in sys.modules, "what this product has itself is found without looking at plug-ins"
        for asks in (planned, lambda: disruption.get_disruption("a third drill")):
            with pytest.raises(Unusable, match=rf"the plug-in lk_drills 1\.0 \(lkharness\.disruptions: drills = lk_drills\) .*{why}"):
                asks()


QUESTIONS = """
from harness.collect.collectors import Collector, CollectorTable

class Mine(CollectorTable):
    rows = (Collector("redis", "Redis", "redis-cli info", nodes_only=True), Collector("routes", "mine", "true"))
"""


@pytest.mark.parametrize(
    ("text", "why", "added"),
    [
        (QUESTIONS, "there is another collector 'routes', so give it a name of its own", ["redis"]),
        (QUESTIONS.replace("rows = ", "rows = 1, "), "its rows are no tuple of Collector", []),
        ("1 / 0\n", r"it cannot be imported \(ZeroDivisionError: division by zero\)", []),
    ],
)
def test_collectors_are_plugged_in_the_same_way(
    text: str, why: str, added: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Support gets what can be had: what cannot be used is a note in the bundle, and never keeps the rest from being gathered."""
    asked = cluster("http")
    before = collectors.of_machine(asked, asked.nodes[0])
    assert set(COLLECTORS.built_in()) == {"linux-hosts", "windows-hosts"} and collectors.faults() == []
    install(tmp_path, "lk_questions", {"lk_questions.py": text}, "[lkharness.collectors]\nmine = lk_questions\n")
    with installed(monkeypatch, tmp_path):
        rows = collectors.of_machine(asked, asked.nodes[0])
        assert rows[: len(before)] == before and [row.name for row in rows[len(before) :]] == added
        assert not [row for row in collectors.of_machine(asked, asked.client) if row.name == "redis"]
        [fault] = collectors.faults()
        assert re.search(rf"the plug-in lk_questions 1\.0 \(lkharness\.collectors: mine = lk_questions\) cannot be used: {why}", fault)
