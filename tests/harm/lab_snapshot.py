"""Looking at every host of a lab from outside, without SSH, and comparing with before."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from harness.core.deadline import Deadline
from harness.core.errors import DeadlineExceeded, HarnessError
from harness.lab.control import nsenter
from harness.lab.control.lab_registry import LabRecord
from tests.harm.differences import WHOLE, Baseline, Look, Thing, baseline, differences, lasting

PROGRAM = Path(__file__).with_name("node_snapshot.py").read_text()
PYTHON = "/opt/lab/bin/python3"
SAMPLES = 3
AGAIN_S = 1.5  # between two looks, each of which is a program in every host
LOOK_S = 120.0  # for one host, on a busy machine


class LabLook:
    """`marks`: words of processes that must live on, on any host."""

    def __init__(self, lab: LabRecord, *marks: str) -> None:
        self._lab = lab
        self._words = [PYTHON, "-S", "-I", "-", *marks]
        self.hosts = [h["name"] for h in lab.ask("status")["hosts"]]

    def look(self) -> Look:
        """Every host at about one time; one that cannot be looked at is a thing of its own."""
        with ThreadPoolExecutor(len(self.hosts)) as pool:
            return {thing: value for rows in pool.map(self._host, self.hosts) for thing, value in rows}

    def _host(self, name: str) -> list[tuple[Thing, str]]:
        try:
            done = nsenter.run(self._lab, name, self._words, limit=LOOK_S, input=PROGRAM)
        except (HarnessError, OSError) as error:
            return [(Thing(name, WHOLE, "as a whole"), f"cannot be looked at: {error}")]
        if done.returncode:
            return [(Thing(name, WHOLE, "as a whole"), f"cannot be looked at: {done.stderr.strip()[-300:]}")]
        return [(Thing(name, kind, key), value) for kind, key, value in json.loads(done.stdout)]

    def baseline(self) -> Baseline:
        return baseline([self.look() for _ in range(SAMPLES)])

    def left(self, before: Baseline, deadline: Deadline, *, said: Callable[[str], bool] = lambda one: False) -> list[str]:
        """What is not as it was when the time is over; looked at again and again until there is nothing. `said`: what the run told of."""
        seen: list[list[str]] = []

        def look() -> list[str]:
            seen.append([one for one in differences(before, self.look()) if not said(one)])
            return lasting(seen)

        try:
            return deadline.wait_for(look, until=lambda left: not left, what="all being as it was", every=AGAIN_S)
        except DeadlineExceeded:
            return lasting(seen)
