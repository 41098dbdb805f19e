"""Stands where the loop of a resident PowerShell would: takes its lines, holds each question against its contract, answers as recorded.

It knows no PowerShell. What it is sent as the loop and as a script's text has to be the product's own file. A recorded answer is a JSON
file with `script`, `parameters` (a value "*" is any) and `answer`, and, where wanted, `delay` (seconds), `hangs` (it ends at its limit and,
as a call into native code would, stays) and `dies` (the process ends instead of answering).
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.hosts.windows import script_contract, script_protocol

CLOCK_STEP_S = 0.015625


class Loop:
    def __init__(self, folder: Path, out: IO[bytes]) -> None:
        self._folder, self._out = folder, out
        self._lock = threading.Lock()
        self._known: set[str] = set()
        self._stuck = 0
        self._under_way: list[threading.Thread] = []
        self._ended = threading.Event()

    def serve(self, lines: Iterable[bytes]) -> None:
        """Everything from the first line to the end of the input."""
        lines = iter(lines)
        first = next(lines, None)
        if first is None:
            return
        once = json.loads(first)["once"]
        if first != script_protocol.first_line(once=once):
            wrong("the loop and its prelude are not the product's own files")
        self._say({"lkharness": 1, "ready": True, "version": "0", "edition": "stand-in", "process": os.getpid()})
        for line in lines:
            self._take(json.loads(line.decode("ascii")), line)
        if not once:
            self._ended.set()
        for thread in self._under_way:
            thread.join()

    def _take(self, said: dict[str, Any], line: bytes) -> None:
        if said.get("clock"):
            ahead = float((self._folder / "clock").read_text()) if (self._folder / "clock").exists() else 0.0
            self._say({"lkharness": 1, "id": said["id"], "stuck": 0, "clock": time.time() + ahead, "step": CLOCK_STEP_S})
            return
        name, parameters = script_protocol.parse_question(line)
        if "text" in said:
            if said["text"][1:] != script_contract.contract_of(name).text:
                wrong(f"the text of {name} is not the product's own file")
            self._known.add(name)
        entry = {"script": name, "parameters": parameters, "limit": said["limit"], "process": os.getpid(), "at": time.time()}
        with (self._folder / "asked.jsonl").open("a") as log:
            log.write(json.dumps(entry) + "\n")
        if name not in self._known:
            self._answer(said["id"], fault("BadQuestion", "ScriptNotSent"))
        elif refusal := script_contract.refusal(name, parameters):
            self._answer(said["id"], fault("ParameterBindingException", refusal))
        else:
            self._find(said["id"], name, parameters, float(said["limit"]))

    def _find(self, number: int, name: str, parameters: dict[str, Any], limit: float) -> None:
        for path in sorted(self._folder.glob("*.json")):
            recorded = json.loads(path.read_text(encoding="utf-8"))
            if recorded["script"] == name and fits(recorded["parameters"], parameters):
                break
        else:
            self._answer(number, fault("NotRecorded", f"no answer is recorded for {name} {parameters}"))
            return
        if recorded.get("dies"):
            os._exit(3)
        thread = threading.Thread(target=self._later, args=(number, recorded, limit), daemon=True)
        self._under_way.append(thread)
        thread.start()

    def _later(self, number: int, recorded: dict[str, Any], limit: float) -> None:
        delay = float(recorded.get("delay", 0.0))
        if recorded.get("hangs") or delay >= limit:
            self._ended.wait(limit)
            with self._lock:
                self._stuck += bool(recorded.get("hangs"))
            self._answer(number, fault("Limit", "the question had not ended at its limit"))
            return
        self._ended.wait(delay)
        self._answer(number, recorded["answer"])

    def _answer(self, number: int, answer: dict[str, Any]) -> None:
        self._say({"lkharness": 1, "id": number, "stuck": self._stuck, "answer": answer})

    def _say(self, what: dict[str, Any]) -> None:
        with self._lock:
            self._out.write(json.dumps(what, separators=(",", ":")).encode("ascii") + b"\r\n")
            self._out.flush()


def fits(recorded: dict[str, Any], asked: dict[str, Any]) -> bool:
    return recorded.keys() == asked.keys() and all(value in ("*", asked[key]) for key, value in recorded.items())


def fault(error: str, message: str) -> dict[str, Any]:
    return {"ok": False, "error": error, "message": message, "missing": [], "warnings": [], "rows": []}


def wrong(why: str) -> None:
    print(f"not as Windows wants it: {why}", file=sys.stderr, flush=True)
    os._exit(96)


if __name__ == "__main__":
    Loop(Path(sys.argv[1]), sys.stdout.buffer).serve(sys.stdin.buffer)
