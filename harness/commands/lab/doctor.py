"""`lkharness doctor`: what this machine lacks for a lab."""

from __future__ import annotations

import argparse

from harness.commands.common import add, print_json
from harness.core.errors import ExitCode


def add_to(commands) -> None:
    """Adds the command to the parser."""
    doctor = add(commands, "doctor", _doctor, "say what this machine lacks for a lab, and what fixes it", "lkharness doctor")
    doctor.set_defaults(needs_linux=True)
    doctor.add_argument("--manager", choices=["lifekeeper", "pacemaker"], default="lifekeeper", help="for a lab with this cluster manager")


def _doctor(given: argparse.Namespace) -> int:
    from harness.lab.lifecycle.doctor import examine

    findings = examine(given.manager)
    lacking = [f.what for f in findings if not f.ok]
    exit_code = int(ExitCode.UNUSABLE if lacking else ExitCode.PASSED)
    if given.json:
        error = {"error": f"this machine lacks {', '.join(lacking)} for a lab"} if lacking else {}
        print_json({"findings": [vars(f) for f in findings], **error, "exit_code": exit_code})
    else:
        for finding in findings:
            print(f"{'ok  ' if finding.ok else 'LACK'} {finding.what}: {finding.says}")
            if not finding.ok:
                print(f"       fix it with: {finding.mend}")
        if not lacking:
            print("this machine can carry a lab")
    return exit_code
