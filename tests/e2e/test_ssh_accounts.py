"""Who logs in and with what: a key that only ssh-agent has, an account for each host, and real sudo without a terminal."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import tomli_w
from command_shell import Shell, shell_in
from sshd_server import SSHD, servers

from harness.config import cluster_config
from harness.core.deadline import Deadline
from harness.hosts.host import HostUnreachable
from harness.hosts.root_rights import as_root
from harness.hosts.shell_command import CommandTookTooLong
from harness.hosts.ssh.ssh_host import SshHost, connect_all

pytestmark = [
    pytest.mark.skipif(not SSHD.exists(), reason="needs a real sshd (Debian package openssh-server)"),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: sshd separates privileges, and sudo must be root's"),
]
NEEDS_SUDO = pytest.mark.skipif(shutil.which("sudo") is None, reason="needs sudo (Debian package sudo)")
OPERATOR, PLAIN = 4201, 4202  # accounts inside the lab's hosts only


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A real ssh-agent; its socket."""
    socket = tmp_path / "agent"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", socket], stdout=subprocess.DEVNULL)
    monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
    try:
        yield socket
    finally:
        process.terminate()
        process.wait(120)


def added(key: Path) -> None:
    Deadline(120).wait_for(
        lambda: subprocess.run(["ssh-add", "-q", key], capture_output=True).returncode == 0, what="ssh-agent takes the key", every=0.05
    )


def test_a_key_that_only_the_agent_has(agent: Path, tmp_path: Path):
    with servers(tmp_path) as serve:
        server = serve()
        added(server.key)
        server.key.unlink()
        host = SshHost(server.machine(key=None))
        assert host.check("echo in") == "in\n"
        host.close()
        subprocess.run(["ssh-add", "-q", "-D"], check=True, capture_output=True)
        with pytest.raises(HostUnreachable, match=r"ssh\.key is not set and ssh-agent holds no key"):
            SshHost(server.machine(key=None)).run("true")


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    with shell_in(tmp_path_factory.mktemp("state")) as one:
        one.up("--name", "accounts", "--file", one.modest("listener"))
        yield one


def sh(shell: Shell, host: str, line: str) -> str:
    return shell.inside("accounts", host, line)


def logging_in(shell: Shell, folder: Path, **ssh: dict) -> Path:
    lab = shell.labs / "accounts"
    data = tomllib.loads((lab / "cluster.toml").read_text())
    for machine in (data["client"], *data["nodes"]):
        machine["ssh"] |= {"key": str(lab / "keys/login"), "known_hosts": str(lab / "known_hosts"), **ssh.get(machine["name"], {})}
    (folder / "cluster.toml").write_text(tomli_w.dumps(data))
    assert shell.lkharness("trust", "--yes", folder / "cluster.toml").returncode == 0
    return folder / "cluster.toml"


SETUP = (
    f"echo operator:x:{OPERATOR}:{OPERATOR}:o:/run/operator:/bin/sh >>/etc/passwd;"
    f"echo plain:x:{PLAIN}:{PLAIN}:p:/run/plain:/bin/sh >>/etc/passwd;"
    f"printf 'operator:x:{OPERATOR}:\\nplain:x:{PLAIN}:\\n' >>/etc/group; mkdir -p /etc/sudoers.d /etc/pam.d;"
    "printf 'operator:*:1::::::\\nplain:*:1::::::\\nroot:*:1::::::\\n' >/etc/shadow;"
    "printf 'auth required pam_deny.so\\naccount required pam_permit.so\\nsession required pam_permit.so\\n' >/etc/pam.d/sudo;"
    "printf 'Defaults !fqdn\\n@includedir /etc/sudoers.d\\n' >/etc/sudoers; echo 'operator ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/lk;"
    "chmod 440 /etc/sudoers /etc/sudoers.d/lk; mkdir -m 755 -p /run/operator /run/plain"
)
HOSTS = ("lkclient", "lknode01", "lknode02")


@pytest.fixture(scope="module")
def accounts(shell: Shell) -> Shell:
    """The lab with two accounts on each host, neither of them root: `operator` may become root, `plain` may not."""
    for host in HOSTS:
        sh(shell, host, SETUP)
    return shell


@NEEDS_SUDO
def test_an_account_for_each_host_and_sudo_without_a_terminal(accounts: Shell, tmp_path: Path):
    """Two names, neither of them root; sudo is the real one, with a rule of its own in each host's /etc/sudoers.d."""
    shell = accounts
    operator = {"user": "operator", "sudo": True}
    done = shell.lkharness("check", "--cluster", logging_in(shell, tmp_path, lkclient=operator, lknode01=operator))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "operator" in sh(shell, "lknode01", "cat /etc/passwd") and "not told" not in done.stdout

    refused = shell.lkharness("check", "--cluster", logging_in(shell, tmp_path, lknode02={"user": "plain", "sudo": True}))
    assert refused.returncode == 4 and "Traceback" not in refused.stdout + refused.stderr
    (line,) = refused.stderr.splitlines()
    assert line.startswith("lkharness: lknode02: `sudo -n` does not work for plain (sudo: a password is required)")
    assert "lacks the line that allows `" in line


@NEEDS_SUDO
def test_what_an_account_has_root_do_is_ended_in_time(accounts: Shell, tmp_path: Path):
    """Questions that hang would pile up on a node that is in trouble."""
    shell = accounts
    file = logging_in(shell, tmp_path, lknode01={"user": "operator", "sudo": True})
    sh(shell, "lknode01", "echo 'Defaults !use_pty' >/etc/sudoers.d/pty; chmod 440 /etc/sudoers.d/pty")  # as before sudo 1.9.14
    hosts = connect_all(cluster_config.load(file, trusted=True))
    try:
        assert hosts["lknode01"].check(as_root("id -u")) == "0\n"
        left = "grep -alz '^98765' /proc/[0-9]*/cmdline || true"
        with ThreadPoolExecutor(1) as pool:
            hangs = pool.submit(hosts["lknode01"].run, as_root("exec sleep 98765"), limit=2.0)
            Deadline(60).wait_for(lambda: sh(shell, "lknode01", left).strip(), what="root's process is there", every=0.05)
            with pytest.raises(CommandTookTooLong):
                hangs.result()
        Deadline(60).wait_for(lambda: sh(shell, "lknode01", left).strip(), what="root's process is ended", until=lambda files: not files)
    finally:
        for host in hosts.values():
            host.close()


def told(reports: Path, sentence: str) -> bool:
    """Whether a run's timeline has this sentence."""
    return any(sentence in file.read_text() for file in reports.glob("*/timeline.jsonl"))


def allow(shell: Shell, file: Path, level: str) -> None:
    """What `lkharness sudoers` prints for this level is all that sudo allows `plain` from now on; measuring has its program."""
    printed = shell.lkharness("sudoers", "--cluster", file, "--level", level, "--json")
    assert printed.returncode == 0, printed.stderr
    programs = [json.loads(shell.lkharness("sudoers", "--program", name, "--json").stdout) for name in ("packet-capture", "lease")]
    for host, text in json.loads(printed.stdout)["machines"].items():
        put = "install -d -m 755 /opt/lkharness /opt/lkharness/bin"
        for program in programs:
            put += f"; printf %s {shlex.quote(program['text'])} >{program['path']}; chmod 755 {program['path']}"
        sh(shell, host, f"{put}; printf %s {shlex.quote(text)} >/etc/sudoers.d/lk; chmod 440 /etc/sudoers.d/lk; visudo -c")


@pytest.fixture(params=["lifekeeper", "pacemaker"])
def managed(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shell]:
    """A lab of its own, with the two accounts on each host."""
    with shell_in(tmp_path / "state") as one:
        one.up("--name", "accounts", "--manager", request.param)
        for host in HOSTS:
            sh(one, host, SETUP)
        yield one


@pytest.mark.deep
@NEEDS_SUDO
def test_each_level_does_with_its_fragment_what_it_is_for_and_names_the_line_that_the_next_one_lacks(managed: Shell, tmp_path: Path):
    """The published lines and no others, with the real sudo: look, measure, disturb; and one level too little is one sentence."""
    plain = {"user": "plain", "sudo": True}
    file = logging_in(managed, tmp_path, **dict.fromkeys(HOSTS, plain))
    quiet = ["tests/failover", "-q", "--cluster", file, "--period", "100", "--allow-disruption"]

    allow(managed, file, "look")
    looked = managed.lkharness("check", "--cluster", file)
    assert looked.returncode == 0 and "not told" not in looked.stdout, looked.stdout + looked.stderr
    short = managed.pytest(*quiet, "--disruption", "none", "--reports", tmp_path / "look").stdout
    assert "the line that allows `/opt/lkharness/bin/lease`" in short and "Traceback" not in short, short

    allow(managed, file, "measure")
    measured = managed.pytest(*quiet, "--disruption", "none", "--reports", tmp_path / "measure")
    assert measured.returncode == 0, measured.stdout + measured.stderr
    assert not told(tmp_path / "measure", "sudo does not allow")
    short = managed.pytest(*quiet, "--disruption", "service crash", "--reports", tmp_path / "short")
    assert short.returncode == 3 and "the line that allows `sh`" in short.stdout + short.stderr, short.stdout + short.stderr
    assert "Traceback" not in short.stdout + short.stderr

    allow(managed, file, "disturb")
    done = managed.pytest(*quiet, "--disruption", "service crash", "--reports", tmp_path / "disturb")
    assert done.returncode == 0, done.stdout + done.stderr
