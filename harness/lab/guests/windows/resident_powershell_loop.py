"""Stands where the loop of a resident PowerShell would: questions and answers as JSON lines, many at once, each within its limit.

Without a line, and without a question under way, it ends by itself after the time that its first line says.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import threading
import time
from collections.abc import Iterable
from typing import IO, Any

from harness.hosts.windows import script_protocol
from harness.lab.guests.windows import script_answers, stand_ins
from harness.lab.guests.windows.known_scripts import is_known
from harness.lab.guests.windows.powershell_line import NotTaken

CLOCK_STEP_S = 0.015625  # Windows PowerShell's clock moves in such steps; a stand-in's need not, and says that it might
STOP_S = 5.0  # what has not ended so long after its limit counts as stuck


class QuestionLoop:
    """Answers what comes, until the input ends; with `once` in the first line it ends when all that was asked is answered."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out = out
        self._lock = threading.Lock()
        self._known: set[str] = set()
        self._late: dict[int, float] = {}
        self._under_way = 0
        self._heard = time.monotonic()
        self._served = threading.Event()
        self._threads: list[threading.Thread] = []

    def serve(self, lines: Iterable[bytes]) -> None:
        """Everything from the first line to the end of the input. Raises NotTaken for a text that is not known."""
        for module in pkgutil.iter_modules(stand_ins.__path__):
            importlib.import_module(f"{stand_ins.__name__}.{module.name}")
        lines = iter(lines)
        first = next(lines, None)
        if first is None:
            return
        said = json.loads(first)
        if not is_known("loop", said["loop"]) or not is_known("prelude", said["prelude"]):
            raise NotTaken("the loop of questions, or the functions that scripts answer with, are of a text that is not known")
        self._say({"lkharness": 1, "ready": True, "version": "0", "edition": "stand-in", "process": os.getpid()})
        threading.Thread(target=self._end_unasked, args=(float(said["idle"]),), daemon=True).start()
        try:
            for line in lines:
                self._heard = time.monotonic()
                if line.strip():
                    self._take(json.loads(line.decode("ascii")), line)
            if said["once"]:
                for thread in self._threads:
                    thread.join()
        finally:
            self._served.set()

    def _take(self, said: dict[str, Any], line: bytes) -> None:
        if said.get("clock"):
            self._say({"lkharness": 1, "id": said["id"], "stuck": self._stuck(), "clock": time.time(), "step": CLOCK_STEP_S})
            return
        name, parameters = script_protocol.parse_question(line)
        if "text" in said:
            if not is_known(f"script {name}", said["text"][1:]):
                raise NotTaken(f"the script {name} was sent with a text that is not known; who changed it looks at its stand-in")
            self._known.add(name)
        if name not in self._known:
            self._answer(said["id"], script_answers.fault("BadQuestion", "ScriptNotSent"))
            return
        thread = threading.Thread(target=self._within_limit, args=(said["id"], name, parameters, float(said["limit"])), daemon=True)
        self._threads.append(thread)
        thread.start()

    def _end_unasked(self, seconds: float) -> None:
        """Ends the process, which waits for input, when nobody has asked for so long."""
        left = seconds
        while not self._served.wait(max(left, 1.0)):
            left = self._heard + seconds - time.monotonic()
            if left <= 0 and self._under_way <= len(self._late):
                os._exit(0)

    def _within_limit(self, number: int, name: str, parameters: dict[str, Any], limit: float) -> None:
        with self._lock:
            self._under_way += 1
        try:
            self._answer_within(number, name, parameters, limit)
        finally:
            with self._lock:
                self._under_way -= 1
                self._heard = time.monotonic()

    def _answer_within(self, number: int, name: str, parameters: dict[str, Any], limit: float) -> None:
        found: list[dict[str, Any]] = []
        work = threading.Thread(target=lambda: found.append(script_answers.answer(name, parameters)), daemon=True)
        work.start()
        work.join(limit)
        if found:
            self._answer(number, found[0])
            return
        self._answer(number, script_answers.fault(script_protocol.LIMIT, "the question had not ended at its limit"))
        self._late[number] = time.monotonic()
        work.join()
        self._late.pop(number, None)

    def _stuck(self) -> int:
        return sum(time.monotonic() - since >= STOP_S for since in list(self._late.values()))

    def _answer(self, number: int, answer: dict[str, Any]) -> None:
        self._say({"lkharness": 1, "id": number, "stuck": self._stuck(), "answer": answer})

    def _say(self, what: dict[str, Any]) -> None:
        with self._lock:
            self._out.write(json.dumps(what, separators=(",", ":")).encode("ascii") + b"\r\n")
            self._out.flush()
