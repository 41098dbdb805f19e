"""Does a cluster manager start when its node boots? What systemd says of its units, and SBD's own setting. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence

from harness.managers.manager import Answer, answer
from harness.managers.switchover_readiness import NodeOutput, last_words

STARTS = {"enabled", "alias", "generated"}
STAYS = {"disabled", "masked", "masked-runtime", "enabled-runtime", "linked", "linked-runtime"}  # what is below /run is gone with a boot
CLEAN = re.compile(r"^\s*SBD_STARTMODE\s*=\s*[\"']?clean\b", re.MULTILINE)


def at_boot_line(units: Iterable[str], sbd: bool = False) -> str:
    """A line of shell that prints `unit state` for each, and SBD's start mode where SBD is in use."""
    line = f'for u in {shlex.join(units)}; do echo "$u $(systemctl is-enabled $u 2>&1 | tail -n 1)"; done'
    mode = "cat /etc/sysconfig/sbd /etc/default/sbd 2>/dev/null | grep SBD_STARTMODE"
    return f"{line}; if systemctl is-enabled --quiet sbd 2>/dev/null; then {mode}; fi; true" if sbd else line


def by_units(outputs: Mapping[str, NodeOutput], units: Sequence[str], configured: bool | None = None) -> Answer:
    """`configured`: what the cluster file says, which then counts."""
    if configured is not None:
        return answer(
            [] if configured else ["the cluster file says that a node does not rejoin by itself when it boots (manager.starts_at_boot)"]
        )
    against, unknown = [], []
    for node, output in outputs.items():
        if output.text is None:
            unknown.append(f"{node}: whether the cluster manager starts at boot could not be asked: {output.why}")
            continue
        states = dict(line.split(" ", 1) for line in output.text.splitlines() if " " in line and line.split(" ", 1)[0] in units)
        for unit in units:
            state = states.get(unit, "").strip()
            if state in STAYS:
                against.append(f"{node}: {unit} is {state}, so it is not started when the node boots (systemctl enable {unit})")
            elif state not in STARTS:
                unknown.append(f"{node}: whether {unit} starts at boot is not known (manager.starts_at_boot); it said: {last_words(state)}")
        if CLEAN.search(output.text):
            against.append(f"{node}: SBD_STARTMODE is clean, so a node that was fenced does not rejoin when it boots")
    return answer(against, unknown)
