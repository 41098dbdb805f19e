"""run.json: everything a report says, as data. HTML, JUnit and terminal only render it.

`schema_version` goes up when a program that reads run.json could be misled: a field is removed or renamed, its meaning or unit
changes, or an enumeration loses or gains a value. A new field does not raise it; readers must ignore fields they do not know.
Durations are seconds. A moment carries the wall clock for people and the harness's monotonic clock, which timeline.jsonl uses.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from harness.core.verdict import Verdict
from harness.report.record.availability_record import AvailabilityRecord
from harness.report.record.gate_record import GateRecord
from harness.report.record.measurement_record import CalibrationRecord, MeasurementRecord
from harness.report.record.record_types import Number, Properties, Record, Seconds, Text
from harness.report.record.series_record import SeriesRecord

SCHEMA_VERSION = 2

AS_FOUND = "the attached cluster is as it was found"  # the audit that a report's first line tells of


class Result(StrEnum):
    """What became of a test: a verdict's outcome, or skipped."""

    PASS = "pass"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    SKIPPED = "skipped"


class RunState(StrEnum):
    """Where the run stands. `running` in a file that nobody writes any more means that the run was killed."""

    RUNNING = "running"
    FINISHED = "finished"
    INTERRUPTED = "interrupted"
    UNUSABLE = "unusable"
    BAD_USE = "bad_use"


class PathName(StrEnum):
    """The three ways to the one address."""

    CLIENT = "client"
    INSIDE = "inside"
    STANDBY = "standby"


class ClusterKind(StrEnum):
    """Where the cluster is from."""

    LAB = "lab"
    ATTACHED = "attached"


class Moment(Record):
    """One moment, on three scales."""

    iso: str
    """UTC, ISO 8601 with milliseconds."""
    epoch: Number
    """Seconds since 1970 on the harness's wall clock."""
    at: Number
    """Seconds on the harness's monotonic clock: the clock of timeline.jsonl's `at`."""

    @classmethod
    def now(cls, at: float | None = None) -> Moment:
        """This moment, or the one that was at monotonic time `at`."""
        monotonic, wall = time.monotonic(), time.time()
        at = monotonic if at is None else at
        return cls.at_wall_time(datetime.fromtimestamp(wall - (monotonic - at), UTC), at=at)

    @classmethod
    def at_wall_time(cls, wall_time: datetime, *, at: float) -> Moment:
        """A moment in UTC, with its place on the monotonic clock."""
        iso = wall_time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return cls(iso=iso, epoch=round(wall_time.timestamp(), 6), at=round(at, 6))


class Judgement(Record):
    """An outcome with its reason."""

    outcome: Result
    reason: Annotated[Text, Field(min_length=1)]

    @classmethod
    def of(cls, verdict: Verdict) -> Judgement:
        """The record of a verdict."""
        return cls(outcome=Result(verdict.outcome.value), reason=verdict.reason)


class HostSummary(Record):
    """A host, by its name and addresses."""

    name: Text
    address: Text
    second_address: Text | None = None


class ServiceSummary(Record):
    """A service of the cluster."""

    name: Text
    kind: Text
    port: int


class ProbeSummary(Record):
    """The balancer's health probe; times in seconds."""

    protocol: Text
    port: int
    interval_s: Seconds
    threshold: int


class ClusterSummary(Record):
    """The cluster that the run was against."""

    name: Text
    kind: ClusterKind
    design: Literal["nat", "floating"]
    vip: Text
    client: HostSummary
    nodes: list[HostSummary]
    services: list[ServiceSummary]
    probe: ProbeSummary
    timers: dict[str, Seconds]
    """The timers that budgets follow from, by their names in the cluster file."""
    heartbeats_missed: int | None = None
    """After how many missed heartbeats a node counts as lost; null in a record of before."""
    active_at_start: Text | None = None
    """The node that was active when the run began, where that was seen."""
    manager: Text = "lifekeeper"
    """The kind of its cluster manager, as in the cluster file."""
    versions: dict[Text, dict[Text, Text]] = Field({})
    """Node → what runs there → its version, as the node said at the end of the run: kernel, and the manager's packages."""
    file_sha256: Text = ""
    """Of the cluster file's content without its secrets; empty for a lab and in a record of before."""


class Attempts(Record):
    """How many connections were tried, and how they ended."""

    total: int
    outcomes: dict[str, int] = Field({})
    """How many were answered, refused, silent …"""


class CheckRecord(Record):
    """One comparison of what was expected with what was seen, usually on one path."""

    path: PathName | None = None
    what: Text = ""
    """What was checked, where that is not simply a path to a service."""
    service: Text | None = None
    origin: Text | None = None
    destination: Text | None = None
    expected: Text
    observed: Text
    wire: Text | None = None
    """How it travelled: a wire code W1 to W10 of the expectation matrix."""
    node: Text | None = None
    """The node that answered or was reached."""
    identity: Text | None = None
    """What the service said of itself."""
    verdict: Judgement
    seconds: Seconds | None = None
    attempts: Attempts | None = None


class RecoveryRecord(Record):
    """For how long a disruption put one path out."""

    path: PathName
    service: Text | None = None
    seconds: Seconds | None
    """Seconds out, counted from the disruption; null when it never answered again or could not be measured (see verdict)."""
    budget_s: Seconds
    period_s: Seconds | None = None
    """The measuring period: the true figure lies in [seconds - period_s, seconds]."""
    verdict: Judgement


class DisruptionRecord(Record):
    """One disruption, from its beginning to its undoing."""

    name: Text
    target: Text | None = None
    began: Moment
    took_effect: Moment | None = None
    undone: Moment | None = None
    recoveries: list[RecoveryRecord] = Field([])


class AuditRecord(Record):
    """One audit of the cluster's invariants."""

    name: Text
    after: Text | None = None
    """Id of the test it followed."""
    verdict: Judgement


class TestRecord(Record):
    """One test of the suite."""

    __test__ = False  # not a test class, whatever pytest thinks of its name

    id: Text
    title: Text
    """A sentence that says what holds when the test passes."""
    situation: Text = ""
    started: Moment
    seconds: Seconds = 0.0
    verdict: Judgement
    properties: Properties = Field({})
    checks: list[CheckRecord] = Field([])
    disruptions: list[DisruptionRecord] = Field([])


class StateRecord(Record):
    """What all hosts said of themselves at the moment in which something failed: a bundle, as `lkharness collect` makes it."""

    path: Text
    """Relative to the run's directory."""
    test: Text = ""
    """Id of the test that failed, or that an audit failed after; empty before the first test."""
    during: Text = ""
    """The disruption that was in force then, if one was: what it does is no cause."""


class CauseRecord(Record):
    """Why something failed: the sentence that the report opens with, the same as in junit.xml and on the terminal."""

    model_config = ConfigDict(populate_by_name=True)

    says: Text
    host: Text
    certainty: Literal["certain", "likely", "possible"]
    evidence: list[Text] = Field([])
    do: Text
    otherwise: Text = Field("", alias="else")
    """What else it could be, and the one thing to look at that would decide."""
    symptoms: list[Text] = Field([])
    of: Text = ""
    """The measurement or the test that it is of."""
    tests: list[Text] = Field([])
    """Ids of the tests that failed by it."""

    @model_serializer(mode="wrap")
    def _as_commands_print_it(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        data: dict[str, Any] = handler(self)
        return {("else" if key == "otherwise" else key): value for key, value in data.items()}

    @property
    def sentence(self) -> str:
        """The cause in one sentence."""
        return f"{self.host}: {self.says}"


class HostNote(Record):
    """Something worth knowing of a host that is no failure."""

    host: Text
    text: Text


class EvidenceFile(Record):
    """A file that was collected."""

    path: Text
    """Relative to the run's directory."""
    bytes: int


class EvidenceFault(Record):
    """Evidence that could not be collected, and why."""

    name: Text
    reason: Text


class Counts(Record):
    """How many tests came to which outcome."""

    passed: int = 0
    failed: int = 0
    inconclusive: int = 0
    skipped: int = 0

    @property
    def executed(self) -> int:
        """How many tests were run at all."""
        return self.passed + self.failed + self.inconclusive


class Environment(Record):
    """The machine that the harness ran on."""

    python: Text
    platform: Text
    cpus: int | None = None
    load_at_start: list[Number] | None = None
    """Load averages over 1, 5 and 15 minutes of the harness's machine."""
    load_at_end: list[Number] | None = None


class RunRecord(Record):
    """One run of the harness."""

    schema_version: Literal[2] = 2
    run_id: Text
    state: RunState = RunState.RUNNING
    state_reason: Text = ""
    """Why the run was interrupted or its environment unusable."""
    harness_version: Text
    command: list[Text]
    started: Moment
    ended: Moment | None = None
    seconds: Seconds = 0.0
    verdict: Judgement
    exit_code: Literal[0, 1, 2, 3, 4]
    """0 all passed, 1 a check failed, 2 bad use or configuration, 3 inconclusive, 4 environment not usable."""
    counts: Counts = Counts()
    cluster: ClusterSummary | None = None
    """Null when the run ended before its cluster was known."""
    tests: list[TestRecord] = Field([])
    audits: list[AuditRecord] = Field([])
    calibration: CalibrationRecord | None = None
    """Null when nothing was measured, or the meter could not check itself."""
    measurements: list[MeasurementRecord] = Field([])
    """Every measured disruption, in the order in which they were done."""
    series: list[SeriesRecord] = Field([])
    """n, median, p95, maximum and interval of every series over its repeats; written when the run ends."""
    availability: list[AvailabilityRecord] = Field([])
    """Of a soak (`--for`): for what part of the measured time each path was in service."""
    set_aside: list[MeasurementRecord] = Field([])
    """Measurements whose timing the noise of a measuring host spoiled, and which were done again: they count for nothing but a soak's
    availability, whose upper bound holds what was out in them."""
    causes: list[CauseRecord] = Field([])
    """Why what failed did so, best first; empty where nothing did."""
    states: list[StateRecord] = Field([])
    """What all hosts said when something failed; of the first few of a run."""
    gate: GateRecord | None = None
    """What the gate said (`--gate FILE`); null where none was asked for."""
    host_notes: list[HostNote] = Field([])
    evidence: list[EvidenceFile] = Field([])
    evidence_faults: list[EvidenceFault] = Field([])
    """Collectors and renderings that failed; the rest went on."""
    environment: Environment

    def cause_of(self, test: str) -> CauseRecord | None:
        """The best cause of that test's failure."""
        return next((cause for cause in self.causes if test in cause.tests), None)

    def cause_of_audit(self, audit: AuditRecord) -> CauseRecord | None:
        """The cause that explains an audit; None where none does."""
        return next((cause for cause in self.causes if any(s.startswith(audit.name) for s in cause.symptoms)), None)

    @property
    def not_as_found(self) -> str:
        """The sentence that comes first and last wherever a run is shown, when the cluster was not seen as it was found; else empty."""
        unproved = next((a.verdict for a in self.audits if a.name == AS_FOUND and a.verdict.outcome is not Result.PASS), None)
        if unproved is None:
            return ""
        is_known = unproved.outcome is Result.FAIL
        headline = "THE CLUSTER IS NOT AS IT WAS FOUND" if is_known else "NOBODY HAS SEEN WHETHER THE CLUSTER IS AS IT WAS FOUND"
        return f"{headline}: {unproved.reason}"
