"""What goes into a run's evidence/ beside its measurements: captures and logs at its end, and what all hosts say when something fails."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from harness.check.cluster_check import observed_in_run
from harness.cluster.cluster_under_test import ClusterUnderTest
from harness.collect.bundle import MB, Bundle
from harness.collect.collection_runner import Span, gather
from harness.core.errors import HarnessError
from harness.core.redaction.redactor import Redactor
from harness.explain import run_explanation
from harness.managers import software_versions
from harness.managers.manager_registry import manager_class
from harness.report.record.run_directory import Run
from harness.report.record.run_record import StateRecord
from harness.report.run_record_builder import ReportBuilder

MAX_STATES = 3  # of one run: what fails after those fails of the same, or of the first
MAX_STATE_BYTES = 8 * MB  # of texts in one of them
HOST_TIMEOUT_S = 20.0  # after so long a host is asked for nothing more
LOG_WINDOW_S = 15 * 60.0  # of managers' logs


class RunEvidence:
    """Of one run. `data` is the cluster file as it was written."""

    def __init__(self, subject: ClusterUnderTest, report: ReportBuilder, data: dict[str, Any], *, is_own_cluster: bool) -> None:
        self._subject, self._report, self._data, self._is_own_cluster = subject, report, data, is_own_cluster
        self._tests: set[str] = set()

    def collect_state(self, test: str = "", in_force: str = "") -> None:
        """Keep what all hosts say of themselves now and, where nothing is in force, how the paths are, because `test` fails (empty:
        something before the first test); once for each.

        An attached cluster is not kept disturbed any longer for it: what is `in_force` there is undone first, and this is called again.
        """
        record, run = self._report.run.record, self._report.run
        if test in self._tests or len(self._tests) >= MAX_STATES or (in_force and not self._is_own_cluster):
            return
        self._tests.add(test)
        name = f"{test.rpartition('::')[2] or 'before-the-first-test'}-state.tar.gz"
        during = in_force or ", ".join(d.name for t in record.tests if t.id == test for d in t.disruptions)
        if (path := run.collect(name, partial(self._gather, observe=not during))) is not None:
            record.states = [*record.states, StateRecord(path=path.relative_to(run.directory).as_posix(), test=test, during=during)]

    def _gather(self, path: Path, observe: bool) -> None:
        subject, now = self._subject, time.time()
        observe_paths = partial(observed_in_run, subject) if observe else None

        def make(redactor: Redactor) -> Bundle:
            return Bundle(path, redactor, max_text_bytes=MAX_STATE_BYTES)

        span = Span(now - LOG_WINDOW_S, now)
        gather(subject.cluster, self._data, subject.hosts, subject.manager, span, make, host_s=HOST_TIMEOUT_S, observe=observe_paths)

    def at_the_end(self) -> None:
        """What was captured all the while, what managers logged, and which versions the nodes run."""
        run = self._report.run
        self._ask_versions(run)
        for name, capture in self._subject.evidence().items():
            run.collect(f"{name}.pcapng", capture.write_pcap)
            if capture.left_out:
                self._report.host_note(name, f"{name}.pcapng has the newest packets: the first {capture.left_out} of the run were not kept")
        for node in self._subject.cluster.nodes:
            run.collect(f"{node.name}-manager.log", partial(self._subject.write_manager_log, node.name))

    def _ask_versions(self, run: Run) -> None:
        """Which kernel and manager each node runs, for the history; a node that cannot be asked is noted."""
        cluster, summary = self._subject.cluster, run.record.cluster
        if summary is None:
            return
        versions, packages = {}, manager_class(cluster).packages
        for node in cluster.nodes:
            try:
                versions[node.name] = software_versions.read(self._subject.hosts[node.name], node.platform, packages)
            except HarnessError as error:
                self._report.host_note(node.name, f"its versions are not known: {error}")
        summary.versions, summary.file_sha256 = versions, "" if self._is_own_cluster else file_digest(self._data)


def file_digest(data: Mapping[str, Any]) -> str:
    """What changes when a cluster file says something else: of all of it but the services' settings, in which secrets may be. Pure."""
    services = [
        {key: value for key, value in service.items() if key != "settings"}
        for service in data.get("services", [])
        if isinstance(service, dict)
    ]
    return hashlib.sha256(json.dumps({**data, "services": services}, sort_keys=True, default=str).encode()).hexdigest()


def explain(run: Run) -> None:
    """Put into the record why what failed did so. A run is never lost to that."""
    try:
        run.record.causes = run_explanation.causes(run.record, run.directory)
    except Exception as error:
        run.evidence_fault("causes", f"{type(error).__name__}: {error}")
