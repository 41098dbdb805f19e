"""gate.toml: what a run must keep to pass. `lkharness init --gate` writes a commented example, `lkharness schema gate` its JSON Schema."""

from __future__ import annotations

import hashlib
from datetime import date
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from harness.core import toml_file
from harness.core.errors import BadUse
from harness.report.record.field_descriptions import describe
from harness.report.run_reader import faults_in_words

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra=describe)


class Budget(_Table):
    """What one disruption may cost one path: no repeat of it may take longer."""

    disruption: str = "*"
    """Its name; `*` is any."""
    path: Literal["client", "inside", "standby", "*"] = "*"
    phase: str = ""
    """A phase of the longest outage, by the boundary that ends it, such as `vip moved`; without one, all until the path is right."""
    seconds: Positive


class Baseline(_Table):
    """What figures are held against: runs by name, or the last nights of the history that passed. Without either nothing is."""

    runs: tuple[str, ...] = ()
    """Folders of runs, relative to the gate file."""
    last_good: Annotated[int, Field(ge=0)] = 0
    """So many of the newest comparable runs in the history beside the run that passed."""

    @model_validator(mode="after")
    def _one_of_both(self) -> Baseline:
        if self.runs and self.last_good:
            raise ValueError("give runs or last_good, not both")
        return self


class Slowdown(_Table):
    """How much slower than the baseline the run may be, and what it takes to say so."""

    absolute_s: NotNegative = 0.0
    """Seconds that a path may take longer."""
    relative: NotNegative = 0.05
    """Share of the baseline's median that it may take longer; the larger of the two counts."""
    least_repeats: Annotated[int, Field(ge=2)] = 8
    """Of the run and of the baseline; with fewer the gate refuses to say anything."""
    must_see_s: NotNegative = 0.0
    """A slowdown of so much beyond what is allowed must have been visible in 80 %, or the gate refuses; 0 is one probe interval."""
    false_alarms: Annotated[float, Field(gt=0, le=0.2)] = 0.02
    """How often a cluster that is no slower may fail by chance, over all comparisons of a run together."""


class AllowedSkip(_Table):
    """A test that may be skipped."""

    test: str
    """Its id or title as in run.json, or a pattern of one, such as `*power loss*`."""
    because: Annotated[str, Field(min_length=1)]
    by: Annotated[str, Field(min_length=1)]
    """Who allowed it."""
    until: date | None = None
    """The last day on which it may be."""


class Findings(_Table):
    """Which findings fail the gate beside failed tests."""

    fail: tuple[Literal["inconclusive", "set-aside", "missing-evidence", "host-note", "cause"], ...] = ("inconclusive",)


class Gate(_Table):
    """A gate file. Every part may be left out; what is left out demands nothing, or what its table says."""

    schema_version: Literal[1] = 1
    budget: tuple[Budget, ...] = ()
    baseline: Baseline = Baseline()
    slowdown: Slowdown = Slowdown()
    allowed_skip: tuple[AllowedSkip, ...] = ()
    skips: Literal["listed", "any"] = "listed"
    """`listed`: only those that are allowed here."""
    findings: Findings = Findings()
    disruptions: tuple[str, ...] = ()
    """What must have been measured, by name."""


class LoadedGate(_Table):
    """A gate with the file that it is from."""

    gate: Gate
    path: Path
    sha256: str


def load(path: Path) -> LoadedGate:
    """Read a gate file. Every fault is one BadUse sentence."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise BadUse(
            f"{path}: cannot be read ({error.strerror or error}); `lkharness init --gate {path.name}` writes an example"
        ) from error
    data = toml_file.toml(raw, path)
    try:
        return LoadedGate(gate=Gate.model_validate(data), path=path, sha256=hashlib.sha256(raw).hexdigest())
    except ValidationError as error:
        raise BadUse(f"{path}: {faults_in_words(error)}; `lkharness schema gate` says what it may hold") from None
