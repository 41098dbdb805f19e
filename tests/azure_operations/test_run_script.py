"""How a script goes through Azure's run-command: by its own interpreter, of any length, not holding up Ctrl-C. With `sh` alone."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable
from typing import Any

import pytest

from harness.azure.provision import manager_install
from harness.azure.provision.template import template
from harness.azure.run_command import run_command_call
from harness.core.deadline import Deadline
from harness.core.errors import Unusable

PARAMETERS = template.parameters_of(
    template.load(), {"location": "x", "tags": {}, "design": "nat", "sshPublicKey": "ssh-ed25519 A", "ports": [80]}
)


def in_one(out: str, err: str) -> list[dict[str, str]]:
    """Both streams in one status, as Linux machines have them."""
    return [{"code": "ProvisioningState/succeeded", "message": f"Enable succeeded: \n[stdout]\n{out}\n[stderr]\n{err}"}]


def in_two(out: str, err: str) -> list[dict[str, str]]:
    """A status for each, told apart by their codes alone."""
    return [
        {"code": "ComponentStatus/StdErr/succeeded", "message": err},
        {"code": "ComponentStatus/StdOut/succeeded", "message": out},
    ]


def said_by(script: str, shape: Callable[[str, str], list[dict[str, str]]] = in_one, **variables: str) -> run_command_call.ScriptOutput:
    done = subprocess.run(["sh"], input=run_command_call.wrap_script(script, "m", variables), text=True, capture_output=True)
    return run_command_call.parse_output(run_command_call.split_streams(shape(done.stdout, done.stderr)), "m", "vm")


@pytest.mark.parametrize("shape", [in_one, in_two])
def test_both_streams_are_told_apart(shape: Callable[[str, str], list[dict[str, str]]]) -> None:
    said = said_by("echo out; echo err >&2; exit 3", shape)
    assert (said.exit, said.out, said.err, said.cut) == (3, "out\n", "err\n", False)


@pytest.mark.parametrize("shape", [in_one, in_two])
def test_what_the_script_says_of_itself_on_one_stream_is_not_the_other(shape: Callable[[str, str], list[dict[str, str]]]) -> None:
    assert said_by("echo err >&2", shape).out == "" and said_by("echo out", shape).err == ""


def test_an_answer_without_a_status_has_no_streams() -> None:
    assert run_command_call.split_streams([]) == ("", "")


def test_its_first_line_says_what_runs_it():
    said = said_by("#!/usr/bin/env python3\nimport os, sys\nprint([os.environ['LKH_NODE']])\nsys.exit(7)", LKH_NODE="it's")
    assert (said.exit, said.out, said.err, said.cut) == (7, '["it\'s"]\n', "", False)


@pytest.mark.parametrize("first", ["", "#!/bin/sh -eu\n"])
def test_a_long_one(first):
    said = said_by(first + "echo begun\n" + "# of some length\n" * 20_000 + "echo $LKH_NODE; echo err >&2", LKH_NODE="node")
    assert (said.exit, said.out, said.err) == (0, "begun\nnode\n", "err\n")


def test_a_short_one_needs_no_room(monkeypatch):
    """A host that is read this way may have none."""
    monkeypatch.setenv("TMPDIR", "/nowhere")
    assert said_by("echo here").out == "here\n"


def test_ctrl_c_does_not_wait_for_the_scripts(monkeypatch):
    go_on, running = threading.Event(), threading.Barrier(2)

    def slow(*given: Any) -> run_command_call.ScriptOutput:
        if running.wait(10) == 0:
            os.kill(os.getpid(), signal.SIGINT)
        go_on.wait(20)
        return run_command_call.ScriptOutput(0, "", "", False)

    monkeypatch.setattr(run_command_call, "run", slow)
    before = Deadline(10)
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)  # as `lkharness` does
    try:
        with pytest.raises(KeyboardInterrupt):
            manager_install.install(None, PARAMETERS, "run1", "true", Deadline(60), lambda text: None)  # type: ignore[arg-type]
        assert not before.expired
    finally:
        signal.signal(signal.SIGINT, handler)
        go_on.set()


def test_what_goes_wrong_on_one_node_is_told_with_the_others(monkeypatch):
    def refused(clients: Any, machine: str, *given: Any) -> run_command_call.ScriptOutput:
        if machine == "lknode01":
            raise Unusable("lknode01: refused")
        return run_command_call.ScriptOutput(3, "", "no licence\n", False)

    monkeypatch.setattr(run_command_call, "run", refused)
    with pytest.raises(Unusable, match="lknode01: refused; lknode02: the cluster manager's script exited 3 and said: no licence"):
        manager_install.install(None, PARAMETERS, "run1", "true", Deadline(60), lambda text: None)  # type: ignore[arg-type]
