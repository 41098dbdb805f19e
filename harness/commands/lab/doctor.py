"""`lkharness doctor`: what this machine lacks for a lab."""

from __future__ import annotations

import argparse

from harness.commands.shared_options import add, print_json
from harness.core.errors import ExitCode


def add_to(commands) -> None:
    """Adds the command to the parser."""
    doctor = add(commands, "doctor", _doctor, "say what this machine lacks for a lab, and what fixes it", "lkharness doctor")
    doctor.set_defaults(needs_linux=True)
    doctor.add_argument(
        "--manager", choices=["lifekeeper", "pacemaker", "wsfc"], default="lifekeeper", help="for a lab with this cluster manager"
    )
    doctor.add_argument("--platform", choices=["linux", "windows"], default="linux", help="for a lab with nodes of this platform")
    doctor.add_argument(
        "--guests", choices=["namespace", "container", "machine"], default="namespace", help="for a lab with nodes of this kind"
    )


def _doctor(arguments: argparse.Namespace) -> int:
    from harness.lab.lifecycle.doctor import containers, examine, machines

    windows = arguments.platform == "windows" or arguments.manager == "wsfc"
    findings = examine(arguments.manager, windows=windows)
    by_kind = {"container": containers(), "machine": machines()}
    findings += by_kind.pop(arguments.guests, [])
    lacking = [f.what for f in findings if not f.ok]
    exit_code = int(ExitCode.UNUSABLE if lacking else ExitCode.PASSED)
    if arguments.json:
        error = {"error": f"this machine lacks {', '.join(lacking)} for a lab"} if lacking else {}
        other_kinds = {f"{kind}_checks": [vars(f) for f in checks] for kind, checks in by_kind.items()}
        print_json({"findings": [vars(f) for f in findings], **other_kinds, **error, "exit_code": exit_code})
        return exit_code
    for finding in findings:
        print(f"{'ok  ' if finding.ok else 'LACK'} {finding.what}: {finding.message}")
        if not finding.ok:
            print(f"       fix it with: {finding.fix}")
    if not lacking:
        print("this machine can carry a lab")
    for kind, checks in by_kind.items():
        for finding in checks:
            if not finding.ok:
                print(f"     only for guests of kind {kind}: {finding.what}: {finding.message}; fix it with: {finding.fix}")
    return exit_code
