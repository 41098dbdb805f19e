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
    findings, container_findings = examine(arguments.manager, windows=windows), containers()
    if arguments.guests == "machine":
        findings = findings + machines()
    if arguments.guests == "container":
        findings, container_findings = findings + container_findings, []
    lacking = [f.what for f in findings if not f.ok]
    exit_code = int(ExitCode.UNUSABLE if lacking else ExitCode.PASSED)
    if arguments.json:
        error = {"error": f"this machine lacks {', '.join(lacking)} for a lab"} if lacking else {}
        print_json(
            {
                "findings": [vars(f) for f in findings],
                "for_containers": [vars(f) for f in container_findings],
                **error,
                "exit_code": exit_code,
            }
        )
    else:
        for finding in findings:
            print(f"{'ok  ' if finding.ok else 'LACK'} {finding.what}: {finding.says}")
            if not finding.ok:
                print(f"       fix it with: {finding.mend}")
        if not lacking:
            print("this machine can carry a lab")
        for finding in container_findings:
            if not finding.ok:
                print(f"     only for guests of kind container: {finding.says}; fix it with: {finding.mend}")
    return exit_code
