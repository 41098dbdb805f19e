"""Flows that say nothing for too long, TCP reset, and hosts that halt by themselves (facts IDLE; OQ-01)."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from harness.config import cluster_config
from harness.lab.lifecycle import default_cluster
from tests.lab.conftest import Bench
from tests.lab.connections import (
    ADDRESS,
    APP,
    CLIENT,
    NODE1,
    PROBE,
    QUIET,
    RESPONDER,
    UDP,
    UDP_CLIENT,
    UDP_ECHO,
    Conversation,
    ask,
    deaf,
    gently,  # noqa: F401
    heard,
    keep,
    side_by_side,
    vip_on,
)

IDLE = 1.0  # s, of every lab here but one
ESTABLISHED, SYN_SENT = 1, 2

# A handshake that waits for its answer; any line: the socket's state.
OPENING = r"""
import json, socket, sys
s = socket.socket(); s.setblocking(False); s.connect_ex((sys.argv[1], int(sys.argv[2]))); print("ready")
for line in sys.stdin: print(json.dumps(s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]), flush=True)
"""

# A connection that stays idle until it is reset, and then another from the same port.
TWICE = r"""
import json, socket, sys
def once():
    s = socket.socket(); s.settimeout(10); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(("", 24000))
    s.connect((sys.argv[1], int(sys.argv[2]))); s.recv(1000); return s
def wait(s):
    try: return repr(s.recv(1000))
    except ConnectionResetError: return "reset"
first = wait(once()); once(); print(json.dumps([first, "answered"]))
"""


@pytest.fixture(scope="module")
def silent(make_lab) -> list[Bench]:
    """A lab of either design that forgets idle flows in silence."""
    return [make_lab(design, load_balancer={"idle_timeout_s": IDLE}) for design in ("nat", "floating")]


@pytest.fixture(scope="module")
def resetting(make_lab) -> list[Bench]:
    """A lab of either design that resets idle flows."""
    rules = [{"protocol": "udp", "port": UDP}]
    balancer = {"idle_timeout_s": IDLE, "tcp_reset": True}
    return [make_lab(design, load_balancer=balancer, lab={"rules": rules}) for design in ("nat", "floating")]


@pytest.fixture(autouse=True)
def active(request):
    """lknode01 is active: it holds the VIP and answers the probe."""
    with ExitStack() as stack:
        for name in ("silent", "resetting"):
            for lab in request.getfixturevalue(name) if name in request.fixturenames else []:
                stack.enter_context(served(lab))
        yield


def served(lab: Bench):
    lab.start(NODE1, RESPONDER, "0.0.0.0", PROBE)
    lab.wait_healthy(NODE1)
    return vip_on(lab, NODE1)


def resets(lab: Bench, port: int) -> list[dict]:
    """The lab's record of resets of the flow from this client port."""
    return [e for e in lab.events() if e["kind"] == "reset" and e["data"]["origin_port"] == port]


@pytest.mark.fact("IDLE-01")
def test_the_idle_timeout_is_4_minutes_by_default():
    """idleTimeout is 4 minutes where nothing else is said (the fast profile says something else); TCP reset is off."""
    balancer = cluster_config.parse(default_cluster.cluster_data("azure"), Path("cluster.toml")).load_balancer
    assert (balancer.idle_timeout_s, balancer.tcp_reset) == (240, False)


@pytest.mark.fact("IDLE-01", "IDLE-02")
@side_by_side("silent")
def test_an_idle_flow_is_forgotten_in_silence(silent):
    """After the idle timeout the flow is dropped without a word: late packets of either end get no answer, and both see it ESTABLISHED."""
    server_late = Conversation(silent, NODE1, port=80)
    client_late = Conversation(silent, NODE1)
    assert ask(client_late.client, f"hear {IDLE / 4}") == "silent" and client_late.works()  # not yet idle for long enough
    assert ask(client_late.client, f"hear {IDLE + 0.5}") == "silent"
    for one, other in ((client_late.client, client_late.server), (server_late.server, server_late.client)):
        assert ask(one, "send") == "sent"
        assert ask(other, f"hear {QUIET}") == "silent" and ask(one, f"hear {QUIET}") == "silent"
        assert ask(one, "state") == ask(other, "state") == ESTABLISHED
    assert Conversation(silent, NODE1, port=5432).works()  # the way is open, for new flows


@pytest.mark.fact("IDLE-03")
@side_by_side("resetting")
def test_an_idle_flow_is_reset_at_both_ends(resetting):
    """With TCP reset both ends get a reset when the idle timeout is over, and not before; a reset is not sent to a busy flow."""
    talk = Conversation(resetting, NODE1)
    assert ask(talk.client, f"hear {IDLE / 4}") == "silent" and talk.works()
    assert ask(talk.client, "hear 10") == "reset"
    assert ask(talk.server, "hear 10") == "reset"
    resetting.wait_for(lambda: resets(resetting, talk.port), "the record of the reset")  # written after it was sent
    assert len(resets(resetting, talk.port)) == 1


@pytest.mark.fact("IDLE-03")
@side_by_side("resetting")
def test_a_late_packet_is_reset(resetting):
    """An end that did not hear the reset gets another one for each later packet, whichever end it is."""
    talk = Conversation(resetting, NODE1)
    for host in (CLIENT, NODE1):
        resetting.ask("power", node=host, to="freeze")  # it hears nothing while the balancer gives the flow up
    try:
        resetting.wait_for(lambda: resets(resetting, talk.port), "the reset")
    finally:
        for host in (CLIENT, NODE1):
            resetting.ask("power", node=host, to="thaw")
    for end in (talk.client, talk.server):
        assert ask(end, f"hear {QUIET}") == "silent" and ask(end, "state") == ESTABLISHED
        assert ask(end, "send") == "sent"
        assert ask(end, "hear 5") == "reset"


@pytest.mark.fact("IDLE-04")
@side_by_side("resetting")
def test_only_established_flows_are_reset(resetting):
    """A half-closed flow and one whose handshake was never answered get no reset, while an established one beside them does."""
    half = Conversation(resetting, NODE1)
    assert ask(half.client, "shut") == "shut" and ask(half.server, "hear 2") == "closed"
    with deaf(resetting, NODE1, 5432):
        opening = resetting.start(CLIENT, OPENING, resetting.vip, 5432)
        whole = Conversation(resetting, NODE1, port=80)
        assert ask(whole.client, "hear 10") == "reset"
        assert ask(half.client, f"hear {QUIET}") == "silent" and not resets(resetting, half.port)
        assert ask(opening, "state") == SYN_SENT


@pytest.mark.fact("IDLE-04")
@side_by_side("resetting")
def test_udp_has_no_idle_timeout(resetting):
    """A UDP flow works on after the idle timeout, and nobody hears an error."""
    resetting.start(NODE1, UDP_ECHO, resetting.vip if resetting.data["design"] == "floating" else "0.0.0.0", UDP, NODE1)
    client = resetting.start(CLIENT, UDP_CLIENT, resetting.vip, UDP, 23000, 1)
    assert heard(client, resetting) == [NODE1]
    talk = Conversation(resetting, NODE1)
    assert ask(talk.client, "hear 10") == "reset"  # the timeout is over
    assert heard(client, resetting) == [NODE1]


@pytest.mark.fact("IDLE-03")
@side_by_side("resetting")
def test_what_a_reset_leaves_alone(resetting):
    """A flow closed in time is not reset later, and a new one from the same port after a reset works."""
    closed = Conversation(resetting, NODE1)
    assert ask(closed.client, "abort") == "aborted"
    resetting.listen(NODE1, 80)
    assert resetting.python(CLIENT, TWICE, resetting.vip, 80) == ["reset", "answered"]
    assert not resets(resetting, closed.port)


@pytest.mark.fact("IDLE-06")
def test_keepalives_must_come_more_often_than_the_timeout(make_lab):
    """Keepalives every second keep a flow over a timeout of 2 s, and one with the system's default of 2 hours is lost."""
    lab = make_lab("nat", load_balancer={"idle_timeout_s": 2.0, "tcp_reset": True})
    with served(lab):
        alive, default = Conversation(lab, NODE1, keepalive=1), Conversation(lab, NODE1, port=80)
        assert int(lab.sh(CLIENT, "cat /proc/sys/net/ipv4/tcp_keepalive_time").stdout) == 7200
        assert ask(default.client, "hear 10") == "reset"
        assert ask(alive.client, "hear 1") == "silent" and alive.works() and not resets(lab, alive.port)


@pytest.mark.fact("OQ-01")
def test_the_idle_timeout_may_not_apply_under_floating_ip(make_lab):
    """With idle_under_floating = ignored a flow under floating IP outlives the timeout, with TCP reset as without."""
    balancer = {"idle_timeout_s": IDLE, "tcp_reset": True}
    lab = make_lab("floating", load_balancer=balancer, lab={"unknowns": {"idle_under_floating": "ignored"}})
    with served(lab):
        talk = Conversation(lab, NODE1)
        assert ask(talk.client, f"hear {1.5 * IDLE}") == "silent" and talk.works() and not resets(lab, talk.port)


@pytest.mark.fact("IDLE-03")
def test_without_tcp_reset_nobody_listens_on_the_wire(silent, resetting):
    """A lab that sends no resets has no packet socket, so it costs nothing."""
    assert [packet_sockets(lab) for lab in silent] == [0, 0]
    assert [packet_sockets(lab) for lab in resetting] == [1, 1]


def packet_sockets(lab: Bench) -> int:
    return len(Path(f"/proc/{lab.running.record.pid}/net/packet").read_text().splitlines()) - 1


def power(lab: Bench, host: str) -> str:
    return next(h["power"] for h in lab.ask("status")["hosts"] if h["name"] == host)


@side_by_side("silent")
def test_a_host_that_halts_by_itself_reboots(silent):
    """It falls silent at once, its old machine's connections with it, and comes back with its addresses and a way in, as after power on."""
    silent.listen(NODE1, APP)
    kept = keep(silent)
    before = next(h for h in silent.ask("status")["hosts"] if h["name"] == NODE1)
    since = len(silent.events())
    with socket.create_connection(("127.0.0.1", before["ssh_port"]), 5) as way_in:
        assert way_in.recv(100).startswith(b"SSH-2.0")
        silent.sh(NODE1, "kill -USR1 1")
        silent.wait_for(lambda: power(silent, NODE1), "its end", until=lambda seen: seen == "off")
        way_in.settimeout(QUIET)
        with pytest.raises(TimeoutError):
            way_in.recv(100)
        silent.wait_for(lambda: [e for e in silent.events()[since:] if "up again" in e["text"]], "the reboot")
        way_in.settimeout(5)
        with pytest.raises(ConnectionResetError):
            way_in.recv(100)
    assert [e["kind"] for e in silent.events()[since:] if e["source"] == "lab"] == ["halt", "power"]
    after = next(h for h in silent.ask("status")["hosts"] if h["name"] == NODE1)
    assert after["power"] == "on" and after["pid"] != before["pid"] and after["ssh_port"] == before["ssh_port"]
    assert ask(kept, f"hear {QUIET}") == "silent"  # no farewell
    with socket.create_connection(("127.0.0.1", after["ssh_port"]), 5) as way_in:
        assert way_in.recv(100).startswith(b"SSH-2.0")
    silent.wait_healthy()
    silent.start(NODE1, RESPONDER, "0.0.0.0", PROBE)
    silent.listen(NODE1, APP)
    silent.wait_healthy(NODE1)
    assert silent.connect(CLIENT, ADDRESS[NODE1], APP)[0]["hello"]["host"] == NODE1
