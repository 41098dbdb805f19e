"""LifeKeeper for Windows and Windows' own cluster, both nodes behind real SSH servers with recorded answers."""

from __future__ import annotations

import os

import pytest
from sshd_server import SSHD, stop_server
from windows_server import asked, reset, start_windows, swap

from harness.config import cluster_config
from harness.core.deadline import Deadline
from harness.hosts.detached_jobs import StillRunning
from harness.hosts.ssh.ssh_host import SshHost
from harness.managers.manager import CommPath, Question, ResourceState, SwitchRefused
from harness.managers.manager_registry import manager_of

pytestmark = [
    pytest.mark.skipif(not SSHD.exists(), reason="needs a real sshd (Debian package openssh-server)"),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: sshd separates privileges"),
]
NODES = ("lknode01", "lknode02")
IN, OUT = ResourceState.IN_SERVICE, ResourceState.STANDBY


class Lab:
    def __init__(self, folder, kind: str, prefix: str) -> None:
        self.servers = {node: start_windows(folder / node, f"{prefix}-{node}") for node in NODES}
        machines = {n: s.machine(n).model_copy(update={"platform": "windows"}) for n, s in self.servers.items()}
        self.hosts = {n: SshHost(m) for n, m in machines.items()}
        cluster = cluster_config.Cluster.model_validate(
            {
                "name": "windows",
                "client": {"name": "lkclient", "address": "10.20.1.100"},
                "nodes": [
                    {"name": n, "address": f"10.20.1.1{i}", "second_address": f"10.20.2.1{i}", "platform": "windows"}
                    for i, n in enumerate(NODES, 1)
                ],
                "services": [{"name": "oracle", "kind": "oracle", "port": 1521, "tag": "listener-1521"}],
                "manager": {"kind": kind, "resource": "listener-1521"},
            }
        )
        self.manager = manager_of(cluster, self.hosts)

    def becomes(self, node: str, shape: str, later: str) -> None:
        swap(self.servers[node], shape, f"{shape}-{later}")

    def close(self) -> None:
        for host in self.hosts.values():
            host.close()
        for server in self.servers.values():
            stop_server(server)

    def reset(self) -> None:
        for server in self.servers.values():
            reset(server)


@pytest.fixture(scope="module")
def labs(tmp_path_factory):
    """One of each kind for the whole file; every test finds it as it was at first."""
    made: dict[str, Lab] = {}

    def lab(kind: str, prefix: str) -> Lab:
        if kind not in made:
            made[kind] = Lab(tmp_path_factory.mktemp(kind), kind, prefix)
        return made[kind]

    yield lab
    for each in made.values():
        each.close()


@pytest.fixture
def lab(request, labs):
    lab = labs(*request.param)
    yield lab
    lab.reset()


lifekeeper = pytest.mark.parametrize("lab", [("lifekeeper-windows", "lifekeeper")], indirect=True, ids=["lifekeeper"])
wsfc = pytest.mark.parametrize("lab", [("wsfc", "wsfc")], indirect=True, ids=["wsfc"])


@lifekeeper
def test_lifekeeper_on_windows_is_read(lab):
    """Children are marked with short or long dashes (LKW-03); both paths, both nodes."""
    state = lab.manager.state()
    assert state.active == "lknode01" and state.healthy
    assert state.nodes["lknode01"].resources == {"listener-1521": IN, "10.20.1.200": IN, "lbhc-12345": IN}
    assert state.nodes["lknode02"].comm_paths == (
        CommPath("lknode01", "10.20.1.12/10.20.1.11", True),
        CommPath("lknode01", "10.20.2.12/10.20.2.11", True),
    )
    assert lab.manager.address_of("10.20.1.200", "lknode01") == "10.20.1.200"  # not its netmask, which comes first (LKW-06)


@lifekeeper
def test_lifekeeper_on_windows_may_switch_over_and_why_not(lab):
    assert lab.manager.may_switch_over("lknode02").yes
    lab.becomes("lknode02", "flg_list", "locked")
    assert "an action holds a lock there" in str(lab.manager.may_switch_over("lknode02"))
    no = lab.manager.may_switch_over("lknode02", Question.LOST)
    assert no.no
    for reason in ("an action holds a lock there: lknode02:Restore_hierarchy", "flag !nofailover!lknode01", "lk_confirmso -y lknode01"):
        assert reason in str(no)
    lab.becomes("lknode02", "flg_list", "broken")
    unknown = lab.manager.may_switch_over("lknode02")
    assert str(unknown) == "cannot tell, because lknode02: its flags could not be read: exit 9: Die LCD-Datenbank antwortet nicht"


@lifekeeper
@pytest.mark.parametrize(
    ("later", "no", "why"),
    [
        ("one-path", False, ""),
        ("no-path", True, "every communication path is dead"),
        ("stopped", True, "the service LifeKeeper is Stopped"),
    ],
)
def test_lifekeeper_on_windows_with_paths_dead_or_stopped(lab, later, no, why):
    lab.becomes("lknode02", "lcdstatus", later)
    state, answer = lab.manager.state(), lab.manager.may_switch_over("lknode02")
    assert not state.healthy and answer.no is no and why in str(answer)
    assert state.active == "lknode01"


@lifekeeper
def test_lifekeeper_on_windows_switches_over(lab):
    with pytest.raises(SwitchRefused, match=r"left listener-1521 standby \(exit 0\); it said: restoring listener-1521"):
        lab.manager.switch_over("lknode02", deadline=Deadline(120))
    lab.becomes("lknode02", "lcdstatus", "active")
    lab.manager.switch_over("lknode02", deadline=Deadline(120))
    assert lab.manager.state().active is None  # the recorded first node still says that it has everything


@lifekeeper
def test_a_restore_is_started_beside_the_question_and_no_limit_ends_it(lab):
    """A question that ends at its limit takes what it has started with it; the services would be on neither node."""
    lab.becomes("lknode02", "restored", "not-yet")
    with pytest.raises(StillRunning, match="`perform_action -t listener-1521 -a restore` has not ended within 2 s; it was not ended"):
        lab.manager.switch_over("lknode02", deadline=Deadline(2))
    said = asked(lab.servers["lknode02"])
    (began,) = [one for one in said if one["script"] == "job-start"]
    assert began["limit"] > 60 and not any(one["script"] == "job-remove" for one in said)


@wsfc
def test_a_windows_cluster_is_read(lab):
    """Names know no case, resources follow their role, and a network without a role of the cluster carries no path."""
    state = lab.manager.state()
    assert state.active == "lknode01" and state.healthy
    assert state.nodes["lknode01"].resources == {"ip-10.20.1.200": IN, "Oracle für 1521": IN}
    assert state.nodes["lknode02"].resources == {"ip-10.20.1.200": OUT, "Oracle für 1521": OUT}
    assert [p.addresses for p in state.nodes["lknode02"].comm_paths] == ["10.20.1.12/10.20.1.11", "10.20.2.12/10.20.2.11"]
    assert lab.manager.address_of("ip-10.20.1.200", "lknode01") == "10.20.1.200"


@wsfc
def test_a_windows_cluster_may_switch_over_and_why_not(lab):
    assert lab.manager.may_switch_over("lknode02").yes
    assert "has everything in service already" in str(lab.manager.may_switch_over("lknode01"))
    lab.becomes("lknode02", "allowed", "not")
    no = str(lab.manager.may_switch_over("lknode02", Question.LOST))
    for reason in ("paused for maintenance", "no possible owner of ip-10.20.1.200", "the quorum witness Cloud Witness is Failed"):
        assert reason in no


@wsfc
def test_a_windows_cluster_with_a_dead_path_or_stopped(lab):
    lab.becomes("lknode02", "state", "one-path")
    assert not lab.manager.state().healthy and lab.manager.may_switch_over("lknode02").yes
    lab.becomes("lknode02", "state", "stopped")
    node = lab.manager.state().nodes["lknode02"]
    assert node.stopped and node.why == "the cluster service is Stopped"
    assert lab.manager.may_switch_over("lknode02").no


@wsfc
def test_a_role_on_its_way_is_active_nowhere(lab):
    for node in NODES:
        lab.becomes(node, "state", "moving")
    state = lab.manager.state()
    assert state.active is None and set(state.nodes["lknode02"].resources.values()) == {ResourceState.UNKNOWN}


@wsfc
def test_a_windows_cluster_switches_over(lab):
    with pytest.raises(SwitchRefused, match="did not happen within"):
        lab.manager.switch_over("lknode02", deadline=Deadline(2))
    for node in NODES:
        lab.becomes(node, "state", "moved")
    lab.manager.switch_over("lknode02", deadline=Deadline(120))
    assert lab.manager.state().active == "lknode02"
    assert any(a["script"] == "wsfc-change" and a["parameters"]["Action"] == "move" for a in asked(lab.servers["lknode02"]))


@wsfc
def test_what_others_depend_on_is_not_taken_out(lab):
    """Windows would take them offline with it."""
    with pytest.raises(SwitchRefused, match=r"Oracle für 1521 depends on ip-10\.20\.1\.200"):
        lab.manager.take_out("ip-10.20.1.200", "lknode01", deadline=Deadline(120))
    assert not any(a["script"] == "wsfc-change" for a in asked(lab.servers["lknode01"]))


@wsfc
def test_whether_a_resource_is_in_service_has_three_answers(lab):
    manager = lab.manager
    assert [manager.has_in_service("ip-10.20.1.200", node) for node in NODES] == [True, False]
    assert manager.has_in_service("no such resource", "lknode01") is None
    lab.becomes("lknode01", "state", "stopped")
    assert manager.has_in_service("ip-10.20.1.200", "lknode01") is None


@lifekeeper
def test_whether_lifekeeper_has_it_in_service(lab):
    assert [lab.manager.has_in_service("10.20.1.200", node) for node in NODES] == [True, False]
