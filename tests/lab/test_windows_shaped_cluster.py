"""A lab whose nodes tell of a failover cluster of Windows: read and driven over real SSH by the adapter that is for the product."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from harness.config import cluster_config
from harness.core.deadline import Deadline
from harness.hosts.host import Host
from harness.hosts.ssh.ssh_host import SshHost
from harness.hosts.windows.script_runner import ask
from harness.hosts.windows.windows_host import WindowsHost
from harness.hosts.windows.windows_parse import ClusterAddress
from harness.lab.control import nsenter
from harness.lab.lifecycle import default_cluster, launch
from harness.lab.lifecycle.lab_status import read_status
from harness.lab.lifekeeper.hierarchy.state_store import PAUSED
from harness.lab.lifekeeper.install import DEFAULT_ROOT
from harness.managers.kinds.wsfc import Wsfc
from harness.managers.manager import Question, SwitchRefused

pytestmark = pytest.mark.skipif(
    not (shutil.which("mcs") and shutil.which("mono")), reason="Mono is not installed (Debian packages mono-mcs and mono-runtime)"
)
FIRST, SECOND = "lknode01", "lknode02"
LIMIT_S = 120.0
LIMIT_OF_A_LOOK_S = 3.0  # while a node is lost, which is waited for as long; of a busy machine it is asked again


@contextmanager
def lab_of_a_cluster() -> Iterator[tuple[launch.RunningLab, Wsfc, dict[str, Host]]]:
    """With one service, which is all that is asked for here."""
    asked = {"name": "test", "design": "floating", "services": default_cluster.DEFAULT_CLUSTER["services"][:1]}
    data = default_cluster.cluster_data("fast", default_cluster.with_platform(asked, "windows", "wsfc"))
    lab = launch.up(data, name="windows-cluster", persistent=False)
    hosts: dict[str, Host] = {}
    try:
        cluster = cluster_config.load(lab.cluster_file, trusted=True)
        hosts = {node.name: SshHost(node) for node in cluster.nodes}
        yield lab, Wsfc(cluster, hosts), hosts
    finally:
        for host in hosts.values():
            host.close()
        lab.down()


def healthy_on(manager: Wsfc, node: str) -> None:
    Deadline(LIMIT_S).wait_for(
        manager.state, until=lambda seen: seen.active == node and seen.healthy, what=f"everything being on {node}", every=0.2
    )


def test_a_windows_cluster_of_the_lab_is_read_moved_and_survives_a_power_loss() -> None:
    with lab_of_a_cluster() as (lab, manager, hosts):
        tag = cluster_config.load(lab.cluster_file, trusted=True).ip_resource.tag
        healthy_on(manager, FIRST)
        assert "not Windows Server's" in read_status(lab.record.name)["note"]
        assert manager.may_switch_over(SECOND).yes and manager.may_switch_over(SECOND, Question.LOST).yes
        assert manager.starts_at_boot().yes and manager.unlisted_members() == []
        facts = WindowsHost(hosts[FIRST], limit=LIMIT_S)
        assert facts.cluster_address(tag) == ClusterAddress("10.20.1.200", "255.255.255.255", 12345)
        assert [manager.has_in_service(tag, node) for node in (FIRST, SECOND)] == [True, False]
        with pytest.raises(SwitchRefused, match=f"listener-1521 depends on {tag}"):
            manager.take_out(tag, FIRST, deadline=Deadline(LIMIT_S))

        flag = [str(DEFAULT_ROOT / "bin/flg_create"), "-f", PAUSED]
        assert nsenter.run(lab.record, SECOND, flag).returncode == 0
        for question in Question:
            answer = manager.may_switch_over(SECOND, question)
            assert answer.no and f"{SECOND} is paused for maintenance" in answer.because[0], str(answer)
        with pytest.raises(SwitchRefused, match=f"{SECOND} is paused"):
            manager.switch_over(SECOND, deadline=Deadline(LIMIT_S))
        assert nsenter.run(lab.record, SECOND, [str(DEFAULT_ROOT / "bin/flg_remove"), "-f", PAUSED]).returncode == 0
        assert manager.may_switch_over(SECOND).yes and manager.fencing().yes

        began = time.time()
        manager.take_out("listener-1521", FIRST, deadline=Deadline(LIMIT_S))
        assert manager.state().active is None and manager.has_in_service(tag, FIRST)
        manager.put_back("listener-1521", FIRST, deadline=Deadline(LIMIT_S))
        manager.switch_over(SECOND, deadline=Deadline(LIMIT_S))
        healthy_on(manager, SECOND)
        assert "(stand-in, not Windows)" in manager.log_between(SECOND, began - 1, time.time() + 1).text

        lab.record.ask("power", node=SECOND, to="off")
        Deadline(LIMIT_S).wait_for(
            lambda: manager.state(limit=LIMIT_OF_A_LOOK_S).nodes[FIRST],
            until=lambda seen: seen.has_everything,
            what="the survivor having everything",
            every=0.2,
        )
        Deadline(LIMIT_S).wait_for(
            lambda: manager.may_switch_over(SECOND, limit=LIMIT_OF_A_LOOK_S),
            until=lambda answer: answer.no,
            what="the lost node being no node to move to",
            every=0.2,
        )
        assert "1135" in manager.recent_log(FIRST)
        lab.record.ask("power", node=SECOND, to="on")
        healthy_on(manager, FIRST)

        stopped = ask(hosts[FIRST], "service-change", {"Name": "ClusSvc", "Action": "stop"}, limit=LIMIT_S)
        assert stopped.ok, stopped.why
        Deadline(LIMIT_S).wait_for(
            lambda: manager.state().nodes,
            until=lambda seen: seen[SECOND].has_everything and seen[FIRST].stopped,
            what="the role leaving a node whose service was stopped",
            every=0.2,
        )
        assert ask(hosts[FIRST], "service-change", {"Name": "ClusSvc", "Action": "start"}, limit=LIMIT_S).ok
        healthy_on(manager, SECOND)
