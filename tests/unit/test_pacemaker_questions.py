"""How the adapter asks a node: what one line of it cannot be had for costs one answer, and what came before a tool hung counts."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from test_pacemaker_adapter import LINKS, MONITOR

from harness.config import cluster_config
from harness.core.errors import Unusable
from harness.hosts.host import CommandResult
from harness.hosts.shell_command import CommandTookTooLong
from harness.lab.lifecycle import default_cluster
from harness.managers.kinds.pacemaker import CUT, Pacemaker
from harness.managers.manager import Says

CLUSTER = cluster_config.parse(default_cluster.cluster_data(overrides={"manager": {"kind": "pacemaker"}}), Path("a test's"))
COVERED = f"{CUT}\nfence\n1 fence device found\n{CUT}\nfence\n1 fence device found\n"


class Node:
    """Answers crm_mon with corosync-cfgtool, and stonith_admin."""

    def __init__(self, links: Callable[[], str], devices: Callable[[], str]) -> None:
        self.links, self.devices = links, devices

    def run(self, line: str, *, limit: float) -> CommandResult:
        if "stonith_admin" in line:
            said = self.devices()
        elif "corosync-cfgtool" in line:
            try:
                said = f"{MONITOR}\n{CUT}\n{self.links()}"
            except TimeoutError:
                raise CommandTookTooLong("a", line, limit, f"{MONITOR}\n{CUT}\n", "") from None
        else:
            raise AssertionError(line)
        return CommandResult("a", line, 0, said, "", 0.0, 0.0)


def refused() -> str:
    raise Unusable("lknode01: `sudo -n` does not work: its sudoers lacks the line that allows `stonith_admin -l lknode01`")


def hangs() -> str:
    raise TimeoutError


def asked(links: Callable[[], str], devices: Callable[[], str]) -> Pacemaker:
    return Pacemaker(CLUSTER, {n.name: Node(links, devices) for n in CLUSTER.nodes})  # type: ignore[misc]


@pytest.mark.parametrize("links", [lambda: LINKS, hangs])
def test_fencing_is_known_where_crm_mon_and_stonith_admin_answer(links: Callable[[], str]) -> None:
    assert asked(links, lambda: COVERED).fencing().says is Says.YES
    assert asked(links, lambda: COVERED.replace("1 fence device", "0 fence devices").replace("fence\n", "")).fencing().says is not Says.YES


def test_a_line_that_sudoers_lacks_is_one_answer_less() -> None:
    told = asked(lambda: LINKS, refused).fencing()
    assert told.says is Says.CANNOT_TELL and "stonith_admin -l lknode01" in str(told)


@pytest.mark.parametrize(("timeout", "says"), [("10", Says.YES), ("0", Says.NO)])
def test_a_cluster_without_a_device_is_asked_whether_it_relies_on_a_watchdog(timeout: str, says: Says) -> None:
    lines: list[str] = []

    class Watched(Node):
        def run(self, line: str, *, limit: float) -> CommandResult:
            lines.append(line)
            options = {"have-watchdog": "true", "stonith-watchdog-timeout": timeout}
            pairs = "".join(f'<nvpair name="{name}" value="{value}"/>' for name, value in options.items())
            if "cibadmin" in line:
                cib = f"<cib><configuration><crm_config>{pairs}</crm_config></configuration></cib>"
                return CommandResult("a", line, 0, f"{cib}\nnow 1\n", "", 0.0, 0.0)
            told = super().run(line, limit=limit)
            return replace(told, out=re.sub(r"<resource [^>]*stonith:.*?</resource>", "", told.out, flags=re.DOTALL))

    nodes = {n.name: Watched(lambda: LINKS, lambda: COVERED.replace("fence\n", "watchdog\n")) for n in CLUSTER.nodes}
    assert Pacemaker(CLUSTER, nodes).fencing().says is says  # type: ignore[arg-type]
    assert len([line for line in lines if "cibadmin" in line]) == 2
    assert asked(lambda: LINKS, lambda: COVERED).fencing().yes  # where there is a device, nobody asks: such a line fails in `Node`
