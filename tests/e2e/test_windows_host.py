"""Windows hosts over a real SSH server, whose `powershell` gives recorded answers: quoting, encoding, limits and exits are real."""

from __future__ import annotations

import os
import signal

import pytest
from sshd_server import SSHD, stop_server
from windows_server import asked, start_windows

from harness.core.deadline import Deadline
from harness.core.errors import BadUse, DeadlineExceeded, Unusable
from harness.diagnosis.firewall import windows as firewall
from harness.diagnosis.firewall.packet import Packet
from harness.hosts.host import CommandFailed
from harness.hosts.linux.linux_parse import Route
from harness.hosts.ssh.ssh_host import SshHost
from harness.hosts.windows import windows_parse
from harness.hosts.windows.script_runner import runner_of
from harness.hosts.windows.windows_host import WindowsHost
from harness.hosts.windows.windows_parse import Event, FirewallProfile, Service, WeakHost, WindowsAddress, WindowsListener

pytestmark = [
    pytest.mark.skipif(not SSHD.exists(), reason="needs a real sshd (Debian package openssh-server)"),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: sshd separates privileges"),
]
CLUSTER_NIC = "LAN-Verbindung für Cluster"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = start_windows(tmp_path_factory.mktemp("windows") / "host", "windows")
    yield server
    stop_server(server)


@pytest.fixture
def host(server):
    machine = server.machine().model_copy(update={"platform": "windows"})
    host = SshHost(machine)
    yield host
    host.close()


@pytest.fixture
def windows(host):
    return WindowsHost(host)


def test_it_is_reached(host):
    """`true` is how the harness asks any host whether it runs commands."""
    assert host.check(["true"]) == "" and host.alive(limit=10.0)


def test_words_arrive_as_they_are(host):
    result = host.run([r"C:\Program Files\x\y.exe", "-t", "it's", "$HOME", "%PATH%", "a;b&c|d", "ü"])
    assert (result.exit, result.out) == (3, "out\n") and result.err.endswith("err\n"), "a log-in shell's profile may say something before"


def test_a_double_quote_in_a_word_is_refused_instead_of_mangled(host):
    with pytest.raises(BadUse, match="double quote"):
        host.run(["echo", 'say "x"'])


def test_a_script_too_long_for_a_command_line_travels_as_input(host, server):
    script = "# " + "x" * 6000 + " ü\n'done'"
    assert host.check(script) == "done\n"
    assert [a["by_input"] for a in asked(server) if a["body"] == script] == [True]
    with pytest.raises(BadUse, match="its input is taken"):
        host.run(script, input=b"data")
    with pytest.raises(BadUse, match="its input is taken"):
        host.start(script)


def test_every_script_has_an_end_of_its_own(host, server):
    """The harness gives up at its limit; what hangs on the host ends by the watchdog, which gets a second more, rounded up."""
    with pytest.raises(DeadlineExceeded, match=r"`HANG` took longer than 1\.2 s"):
        host.run("HANG", limit=1.2)
    told = Deadline(120).wait_for(lambda: [a["seconds"] for a in asked(server) if a["body"] == "HANG"], what="the script having arrived")
    assert told == [3]
    assert host.check(["true"]) == ""


def test_an_unknown_script_fails_with_what_was_said(windows):
    with pytest.raises(CommandFailed, match="the question service was answered with an error: NotRecorded"):
        windows.service("a name that nobody recorded")


def test_addresses(windows):
    """Loopback has no adapter; names hold letters of their language; progress on stderr is no part of the answer."""
    assert windows.addresses() == [
        WindowsAddress("Ethernet", "fe80::1c2d:3e4f:5a6b:7c8d", 64, "UP"),
        WindowsAddress("Ethernet", "10.20.1.11", 24, "UP"),
        WindowsAddress("Loopback Pseudo-Interface 1", "127.0.0.1", 8, "UNKNOWN"),
        WindowsAddress(CLUSTER_NIC, "10.20.2.11", 24, "UP"),
        WindowsAddress(CLUSTER_NIC, "10.20.1.200", 32, "UP"),
        WindowsAddress("Ethernet 3", "169.254.7.8", 16, "TENTATIVE"),
    ]


def test_listeners(windows):
    found = windows.listeners()
    assert found == [
        WindowsListener("::", 135, "tcp", 904, "svchost"),
        WindowsListener("0.0.0.0", 22, "tcp", 2212, "sshd"),
        WindowsListener("10.20.1.200", 1521, "tcp", 4711, "TNSLSNR"),
        WindowsListener("10.20.1.11", 12345, "tcp", 4712, None),
    ]


@pytest.mark.parametrize(
    ("address", "route"),
    [
        ("10.20.1.12", Route("unicast", "Ethernet", "10.20.1.11", None)),
        ("192.0.2.1", Route("unicast", "Ethernet", "10.20.1.11", "10.20.1.1")),
        ("10.20.1.200", Route("local", "Loopback Pseudo-Interface 1", "10.20.1.200", None)),
        ("203.0.113.9", Route("unreachable")),
    ],
)
def test_routes(windows, address, route):
    assert windows.route_to(address) == route


def test_an_address_is_an_address(windows):
    with pytest.raises(ValueError, match="appear to be an IPv4"):
        windows.route_to("10.20.1.12'; Stop-Computer; '")


def test_weak_host_and_firewall(windows):
    assert windows.weak_hosts() == [WeakHost("Ethernet", False, True, False), WeakHost(CLUSTER_NIC, True, True, False)]
    rows = windows.firewall()
    assert windows_parse.profiles([*rows.profiles]) == [
        FirewallProfile("Domain", True, "Block"),
        FirewallProfile("Private", True, "NotConfigured"),
        FirewallProfile("Public", False, "Allow"),
    ]
    read = firewall.read(rows.profiles, rows.rules, rows.nics)
    assert firewall.evaluate(read, Packet("10.20.1.100", "10.20.1.11", 1521, in_nic="Ethernet")).passes is True


def test_services(windows):
    assert windows.service("LifeKeeper") == Service("LifeKeeper", "Running", "Automatic")
    with pytest.raises(Unusable, match="there is no service it's not there"):
        windows.service("it's not there")
    windows.start_service("LifeKeeper")


def test_an_error_is_told_by_its_id_and_without_xml(windows):
    with pytest.raises(CommandFailed) as caught:
        windows.stop_service("LifeKeeper", along=["LKExt"])
    said = str(caught.value)
    assert "StartServiceFailed,Microsoft.PowerShell.Commands.StopServiceCommand" in said and "Der Dienst kann" in said
    assert "<" not in said and "CLIXML" not in said


def test_events(windows):
    assert windows.events(1795356000, 1795357000, source="LifeKeeper") == [
        Event(1795356400.25, "System", "LifeKeeper", 12, 4, "Der Dienst läuft"),
        Event(
            1795356427.5,
            "Application",
            "LifeKeeper",
            1620,
            2,
            "Process: lkcheck(4711) *ERROR* (No. 1620) ip-10.20.1.200:\r\nlocal recovery failed",
        ),
    ]
    assert windows.events(1795356000, 1795357000, most=10) == []


def test_name_boot_and_processes(windows):
    assert windows.hostname() == "lknode01"
    assert windows.boot_id() == "boot 47"
    assert windows.process_start(4711) == 1795350100.5
    assert windows.process_start(4712) is None


def test_the_clock_is_asked_of_the_powershell_that_stays(windows):
    offset, wrong = windows.offset()
    assert abs(offset - 600) <= wrong + 0.001 and 0.015 < wrong < 5, "a step of that clock is part of what may be wrong"


def test_one_process_answers_all_questions(windows, server):
    before = len(asked(server))
    windows.addresses(), windows.listeners(), windows.boot_id()
    assert len({one["process"] for one in asked(server)[before:]}) == 1
    assert runner_of(windows.host).starts == 1 and windows.why_alone == ""


def test_a_lost_connection_starts_another(windows, server):
    """The one that lost its session ends with its input; whoever asks next has a new one."""
    windows.addresses()
    for pid in server.connections():
        os.kill(pid, signal.SIGKILL)
    assert windows.addresses() and windows.listeners()
    assert runner_of(windows.host).starts == 2 and windows.why_alone == ""


def test_a_host_without_powershell_says_so(tmp_path):
    server = start_windows(tmp_path / "bare", "windows")
    (server.folder.parent / "bin" / "powershell").unlink()
    host = SshHost(server.machine().model_copy(update={"platform": "windows"}))
    try:
        with pytest.raises(Unusable, match="`powershell` does not start there"):
            WindowsHost(host).hostname()
    finally:
        host.close()
        stop_server(server)
