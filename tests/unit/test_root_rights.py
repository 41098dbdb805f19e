"""Root for what needs it: how sudo is asked, what is told of its refusals, and the lines for sudoers that are made from what is asked."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from harness.attach import sudoers_fragment
from harness.config import cluster_config
from harness.core.errors import BadUse
from harness.hosts.deadman.deadman_scripts import REMAINS_BY_ROOT
from harness.hosts.root_rights import (
    MAY_ALL,
    ROOT,
    WHOLE,
    as_root,
    read_by_root,
    refusal_sentence,
    refusals_line,
    sudo_lines,
    sudo_refusal,
)
from harness.hosts.shell_command import BEGINS, wrap_command
from harness.lab.lifecycle import default_cluster
from harness.remote.script_transport import INSTALLABLE, installed_program

# Refuses all but `nft list ruleset`, as the real one does; says in the environment that a program is root's.
SUDO = """#!/bin/sh
[ "$1" = -n ] && shift
list=; [ "$1" = -l ] && { list=yes; shift; }
[ "$*" = "nft list ruleset" ] || { echo "sudo: a password is required" >&2; exit 1; }
[ -n "$list" ] || AS=root exec "$@"
"""


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A folder for PATH with that sudo, and an nft that says as whom it runs."""
    for name, text in (("sudo", SUDO), ("nft", '#!/bin/sh\necho "table inet lkharness_x {"; echo "as $AS $*" >&2\n')):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    return tmp_path


def ran(tools: Path, command, *, sudo: bool = True, **given) -> subprocess.CompletedProcess[str]:
    """What a login shell makes of it."""
    line = wrap_command(command, sudo=sudo, limit=60.0)
    environment = {"PATH": f"{tools}:/usr/bin:/bin"}
    return subprocess.run(["/bin/sh", "-c", line], capture_output=True, text=True, timeout=120, env=environment, check=False, **given)


@pytest.mark.parametrize(
    ("command", "asked"),
    [
        ("echo plain; nft list ruleset", []),
        (f"{ROOT} nft list ruleset 2>&1; echo", ["nft list ruleset"]),
        (f"x=$({ROOT} cibadmin -Q) && {{ {ROOT} crm_mon -1 || {ROOT} id -u; }} 2>&1", ["cibadmin -Q", "crm_mon -1", "id -u"]),
        (f'[ -z "{ROOT}" ] || {ROOT} -l sh >/dev/null; {ROOT} "$0" -c x; {ROOT} cat $file', []),
        (as_root(["/opt/x/bin/ins_list", "-f|"]), ["/opt/x/bin/ins_list '-f|'"]),
        (as_root(["sh", "-c", "rm -rf /"]), ["sh"]),
        (as_root("rm -rf /"), ["sh"]),
        (read_by_root("tail -n 5", "/var/log/a b"), ["tail -n 5 '/var/log/a b'"]),
    ],
)
def test_what_sudo_is_asked_for_is_read_from_the_command(command, asked: list[str]) -> None:
    """A word that only the shell there knows makes no line: it would allow everything, or nothing."""
    assert sudo_lines(command) == asked


def test_sudo_is_asked_for_the_program_itself_and_for_nothing_else(tools: Path) -> None:
    assert "sudo" not in wrap_command("true") and "sudo" not in wrap_command(as_root("true"))
    assert ran(tools, as_root(["nft", "list", "ruleset"])).stderr == f"{BEGINS}as root nft list ruleset\n".replace("nft ", "", 1)
    assert ran(tools, f"{ROOT} nft list ruleset").stderr.endswith("as root list ruleset\n")
    assert ran(tools, "nft list ruleset").stderr.endswith("as  list ruleset\n")
    assert ran(tools, f"{ROOT} nft list ruleset", sudo=False).stderr.endswith("as  list ruleset\n")
    refused = ran(tools, as_root("id"))
    assert refused.returncode == 1 and sudo_refusal(refused.stderr) == "sudo: a password is required"


def test_what_is_refused_is_named_with_the_line_that_is_lacking(tools: Path) -> None:
    told = ran(tools, refusals_line(["nft list ruleset", "ss -tlnp"]))
    assert told.stdout.removeprefix(BEGINS) == "ss -tlnp\n"
    assert ran(tools, refusals_line(["ss -tlnp"]), sudo=False).stdout == BEGINS
    said = refusal_sentence("n1", "app", "sudo: a password is required", ["ss -tlnp"])
    assert "lacks the line that allows `ss -tlnp` without" in said and "\n" not in said


# Who may do everything with a password, and one thing without: `sudo -n -l sh` lists it and exits 0 (seen with sudo 1.9.13).
WITH_PASSWORD = SUDO.replace('[ "$*" = "nft list ruleset" ] ||', '[ -n "$list" ] || [ "$*" = "nft list ruleset" ] ||')


# What `sudo -n -l` prints into a pipe (seen with sudo 1.9.13): a line a rule, its tags before the commands.
LISTS = """[ "$list" ] && [ $# = 0 ] && printf '    (ALL : ALL) ALL\\n    (root) NOPASSWD: /usr/sbin/nft list ruleset\\n' && exit 0
"""


def test_what_only_a_password_allows_is_refused(tools: Path) -> None:
    """`sudo -n -l LINE` says yes to it: what is lacking is seen in the whole list."""
    (tools / "sudo").write_text(WITH_PASSWORD.replace('[ -n "$list" ] ||', LISTS + '[ -n "$list" ] ||', 1))
    told = ran(tools, refusals_line(["nft list ruleset", "nft list tables", "ss -tlnp"]))
    assert told.stdout.removeprefix(BEGINS) == "nft list tables\nss -tlnp\n", told.stderr


@pytest.mark.parametrize("text", [SUDO, WITH_PASSWORD], ids=["may not", "may with a password"])
def test_who_needs_a_password_for_everything_may_only_look(tools: Path, tmp_path: Path, text: str) -> None:
    (tools / "sudo").write_text(text)
    told = ran(tools, ["sh", "-c", f"{WHOLE}\nwhole echo as the account"])
    assert (told.stdout.removeprefix(BEGINS), told.stderr.removeprefix(BEGINS)) == ("as the account\n", "")
    words = ["sh", "-c", REMAINS_BY_ROOT, "lkharness-remains", "MARK", str(tmp_path / "none"), "echo everything"]
    assert ran(tools, words).stdout.removeprefix(BEGINS) == "nft table inet lkharness_x\n"
    assert sudo_lines(MAY_ALL) == [], "no line of sudoers comes of the trial"


def test_who_may_everything_without_a_password_does_it(tools: Path) -> None:
    (tools / "sudo").write_text('#!/bin/sh\nshift; [ "$1" = -l ] && exit 0\nAS=root exec "$@"\n')
    assert ran(tools, ["sh", "-c", f"{WHOLE}\nwhole sh -c 'echo as $AS'"]).stdout.removeprefix(BEGINS) == "as root\n"


def test_an_account_that_may_only_look_is_told_what_is_left_as_far_as_it_may_see(tools: Path, tmp_path: Path) -> None:
    """Root's folder is there, and closed: that is enough not to call the host clean."""
    folder = tmp_path / "left"
    folder.mkdir(mode=0o700)
    shutil.chown(folder, 0)
    words = ["sh", "-c", REMAINS_BY_ROOT, "lkharness-remains", "MARK", str(folder), "echo as $AS: everything"]
    told = ran(tools, words).stdout.removeprefix(BEGINS).splitlines()
    assert told[:2] == [f"folder {folder}, of which only root is told what is in it", "nft table inet lkharness_x"]
    assert ran(tools, words, sudo=False).stdout.removeprefix(BEGINS) == "as : everything\n"


@pytest.mark.parametrize("kind", ["lifekeeper", "pacemaker"])
def test_the_fragment_allows_exactly_what_is_asked_and_no_word_more(kind: str, tmp_path: Path) -> None:
    """No line without its words, none that another program's words could be joined to, no shell but where everything is allowed."""
    cluster = cluster_config.Cluster.model_validate(default_cluster.cluster_data(overrides={"manager": {"kind": kind}}))
    node = cluster.nodes[0]
    look, measure, disturb = (sudoers_fragment.fragment(cluster, node, level) for level in sudoers_fragment.LEVELS)
    tool = {"lifekeeper": "/opt/LifeKeeper/bin/lcdstatus -q,", "pacemaker": "/usr/sbin/cibadmin -Q,"}[kind]
    assert tool in look and "/usr/sbin/nft list ruleset," in look
    assert not re.search(r"/(sh|bash|env|python3?|tee|timeout|perform_action)\b", look + measure)
    lines = [line.strip(" ,\\") for line in look.splitlines() if line.startswith("    ")]
    assert len(lines) > 12 and all(" " in line or line in sudoers_fragment.PROGRAMS for line in lines), lines
    assert INSTALLABLE["packet_capture"] in look and "/usr/bin/tail -n 0 -F" in measure and "-F" not in look
    assert "/usr/bin/sh" in disturb and "/usr/bin/sh" not in measure
    if visudo := shutil.which("visudo"):
        for text in (look, measure, disturb):
            file = tmp_path / "fragment"
            file.write_text(text)
            done = subprocess.run([visudo, "-cf", str(file)], capture_output=True, text=True, timeout=60, check=False)
            assert done.returncode == 0, done.stdout + done.stderr + text


@pytest.mark.parametrize("user", ["ALL", "%wheel", "a b", "x\nALL", "", "#0"])
def test_a_name_that_would_grant_to_others_is_refused(user: str) -> None:
    cluster = cluster_config.Cluster.model_validate(default_cluster.cluster_data())
    node = cluster.nodes[0]
    named = node.model_copy(update={"ssh": node.ssh.model_copy(update={"user": user})})
    with pytest.raises(BadUse, match="cannot stand in a sudoers file"):
        sudoers_fragment.fragment(cluster, named, "look")


def test_the_installed_capture_runs_no_text_but_its_own(tmp_path: Path) -> None:
    """An account that sudo lets run it as root could else run anything."""
    program = tmp_path / "capture"
    program.write_text(installed_program("packet_capture"))
    evil = b"open('/nowhere/at/all', 'w')\n" * 2000
    done = subprocess.run(["python3", "-IS", program, "{}"], input=evil, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0 and b"of another version" in done.stdout and b"Traceback" not in done.stderr
