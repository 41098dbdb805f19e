"""A run made through the same door as the plugin's, for the tests of the report."""

from __future__ import annotations

from pathlib import Path

from harness.config.cluster_config import Cluster, parse
from harness.core.verdict import failed, inconclusive, passed
from harness.report.record.run_directory import Run
from harness.report.record.run_record import ClusterKind
from harness.report.run_record_builder import ReportBuilder

# Markup, attribute and script breakers, template syntax, terminal escapes, NUL, direction marks, a lone surrogate.
HOSTILE = "</script><script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{ 7*7 }}{% raw %}\x1b[2J\x00\u202e\udc80]]>&amp;"

REFUSED = "lknode01 refused 10.20.1.200:1521: nothing listens on it (listener bound to 10.20.1.11 only)"


def a_cluster(name: str = "demo") -> Cluster:
    return parse(
        {
            "name": name,
            "client": {"name": "lkclient", "address": "10.20.1.20"},
            "nodes": [
                {"name": "lknode01", "address": "10.20.1.11", "second_address": "10.20.2.11"},
                {"name": "lknode02", "address": "10.20.1.12", "second_address": "10.20.2.12"},
            ],
            "services": [
                {"name": "listener", "kind": "oracle", "port": 1521, "tag": "ora", "settings": {"password_file": "top-secret"}},
            ],
        },
        Path("cluster.toml"),
    )


def a_builder(reports: Path, kind: ClusterKind = ClusterKind.LAB) -> ReportBuilder:
    builder = ReportBuilder(Run.create(reports, command=["pytest", "--cluster", "a cluster.toml"]))
    builder.cluster_is(a_cluster(), kind, active="lknode01")
    return builder


def fill(builder: ReportBuilder, text: str = "") -> None:
    """One test of every result, a disruption, an audit, notes and evidence; `text` goes wherever a host may have its say."""
    builder.begin_test("tests/a.py::test_reach", f"Every path reaches the listener{text}", situation=f"healthy{text}")
    builder.add_check(
        passed("as expected"),
        path="client",
        service="listener",
        expected="reaches the active node",
        observed=f"answered{text}",
        origin="lkclient",
        destination="10.20.1.200:1521",
        wire="W1",
        node="lknode01",
        identity=f"TNS{text}",
        attempts={"answered": 2, "silent": 1},
    )
    builder.add_check(failed(REFUSED + text), path="inside", expected="reaches itself", observed=f"refused{text}", wire="W6")
    builder.describe(rack=f"r1{text}")
    builder.end_test(passed(f"fine{text}"))
    builder.begin_test("tests/a.py::test_switchover", "After a switchover every path recovers", situation="switchover")
    disruption = builder.disruption(f"switchover{text}", target="lknode01")
    disruption.took_effect()
    disruption.recovery("client", 1.21, budget=6, service="listener", period=0.05)
    disruption.recovery("standby", 2.5, budget=6)
    disruption.undone()
    builder.end_test(passed("recovered"))
    builder.begin_test("tests/a.py::test_capture", "No packet leaves any NIC")
    builder.end_test(inconclusive(f"the capture was blind{text}"))
    builder.begin_test("tests/a.py::test_power", "A power loss is survived")
    builder.skip(f"no [power] section{text}")
    builder.audit(f"one active node{text}", passed(f"lknode01{text}"), after="tests/a.py::test_switchover")
    builder.host_note(f"lknode02{text}", f"clock 0.8 s behind{text}")
    builder.run.note(f"lknode01{text}", f"log{text}", f"said{text}", line=text)
    builder.run.collect(f"journal{text}.log", lambda path: path.write_text("x"))
    builder.run.collect(f"broken{text}.log", lambda path: 1 / 0)
