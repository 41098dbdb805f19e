"""The diagnosis of files that everybody needs, of names that a clone has twice, and of SELinux on one node only."""

from __future__ import annotations

import hashlib
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from diagnosis_sample import both

from harness.collect import node_sections
from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.engine import diagnose
from harness.diagnosis.linux_host_script_parse import host

GOOD = """644 / /etc/hosts regular file
644 /run /etc/resolv.conf regular file
644 / /etc/nsswitch.conf regular file
644 / /etc/passwd regular file
644 / /etc/group regular file
1777 /tmp /tmp directory
1777 / /var/tmp directory
1777 /dev/shm /dev/shm directory
666 /dev /dev/null character special file
# asked
"""
OTHER = "/etc/iscsi/initiatorname.iscsi 0123456789abcdef"


def files(text: str) -> list[Cause]:
    one, other = (host("it", f"@@ files\n{t}") for t in (GOOD, text))
    return [c for c in diagnose(both(files=(one.files, other.files))).causes if c.host == "lknode02"]


@pytest.mark.parametrize(
    ("old", "new", "certainty", "words"),
    [
        ("644 / /etc/hosts", "600 / /etc/hosts", Certainty.LIKELY, "only root may read /etc/hosts"),
        ("644 /run /etc/resolv.conf", "640 /run /etc/resolv.conf", Certainty.LIKELY, "/etc/resolv.conf"),
        ("644 / /etc/passwd", "600 / /etc/passwd", Certainty.LIKELY, "/etc/passwd"),
        ("1777 /tmp /tmp", "755 /tmp /tmp", Certainty.LIKELY, "/tmp on lknode02 has the mode 755"),
        ("1777 /dev/shm /dev/shm", "755 /dev /dev/shm", Certainty.LIKELY, "/dev/shm on lknode02 has the mode 755"),
        ("666 /dev /dev/null character special file", "644 /dev /dev/null regular file", Certainty.CERTAIN, "is a regular file"),
    ],
)
def test_what_others_may_not(old: str, new: str, certainty: Certainty, words: str) -> None:
    assert old in GOOD
    (cause,) = files(GOOD.replace(old, new))
    assert cause.certainty is certainty and words in cause.says


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        "",
        GOOD.replace("# asked", ""),
        GOOD.replace("644", "444"),
        GOOD.replace("1777", "777"),
        GOOD.replace("644 / /etc/nsswitch.conf regular file\n", ""),  # which some do without
        GOOD.replace("644 / /etc/group regular file", "0 / /etc/group directory"),
    ],
)
def test_what_is_usual_is_none(text: str) -> None:
    assert files(text) == []


def shared_memory(active: int | None, standby: int | None, kind: str = "") -> list[Cause]:
    rows = [f"tmpfs {size} 0 {size} 0% /dev/shm\n" if size is not None else "" for size in (active, standby)]
    disks = [host("it", f"@@ disks\n/tmp absent\n@ blocks\n/dev/sda1 900 0 900 0% /\n{row}@ inodes\n").shared_memory_kb for row in rows]
    seen = both(shared_memory_kb=(disks[0], disks[1]))
    services = [s for s in seen.cluster.services if not kind or s.kind == kind]
    told = diagnose(replace(seen, cluster=seen.cluster.model_copy(update={"services": services}), paths=[])).causes
    return [c for c in told if "/dev/shm" in c.says]


def test_shared_memory_that_is_far_smaller_on_the_standby() -> None:
    (cause,) = shared_memory(8_000_000, 64)
    assert cause.certainty is Certainty.LIKELY and cause.host == "lknode02" and "64 kB" in cause.says
    assert [c.certainty for c in shared_memory(64_000_000, 4_000_000, "postgres")] == [Certainty.POSSIBLE]
    assert [c.certainty for c in shared_memory(64_000_000, 4_000_000, "oracle")] == [Certainty.LIKELY]
    assert [c.certainty for c in shared_memory(8_000_000, 64, "http")] == [Certainty.POSSIBLE]
    assert shared_memory(8_000_000, 4_000_000) == shared_memory(64, 8_000_000) == shared_memory(8_000_000, None) == []


def cloned(here: str, there: str) -> list[Cause]:
    one, other = (host("it", f"@@ identities\n{t}\n") for t in (here, there))
    return [c for c in diagnose(both(identities=(one.identities, other.identities))).causes if "cloned" in c.says]


def test_one_name_on_both_nodes() -> None:
    assert [c.certainty for c in cloned(OTHER, OTHER)] == [Certainty.POSSIBLE]  # nothing was seen that uses it
    (cause,) = cloned(OTHER, f"{OTHER}\n# iscsi session")
    assert cause.certainty is Certainty.LIKELY and "iSCSI initiator name" in cause.says
    nqn = "/etc/nvme/hostnqn 0123456789abcdef"
    assert [c.certainty for c in cloned(nqn, f"{nqn}\n# iscsi session")] == [Certainty.POSSIBLE]
    assert cloned(OTHER, OTHER.replace("0", "1")) == cloned(OTHER, "") == cloned("", "") == []
    empty = f"/etc/iscsi/initiatorname.iscsi {hashlib.sha256(b'').hexdigest()[:16]}"  # GenerateName=yes: it has none yet
    assert cloned(empty, empty) == []


@pytest.mark.parametrize(
    ("active", "standby", "certainty", "at"),
    [
        ("enforce 0", "enforce 1", Certainty.LIKELY, "lknode02"),
        ("SELINUX=disabled", "enforce 1", Certainty.LIKELY, "lknode02"),
        ("enforce 1", "enforce 0", Certainty.POSSIBLE, "lknode01"),
        ("SELINUX=permissive", "SELINUX=enforcing", Certainty.POSSIBLE, "lknode02"),  # neither kernel has it now
        ("SELINUX=permissive", "SELINUX=disabled", None, ""),
        ("enforce 1", "enforce 1", None, ""),
        ("", "enforce 1", None, ""),
        ("", "", None, ""),
    ],
)
def test_selinux_on_one_node(active: str, standby: str, certainty: Certainty | None, at: str) -> None:
    one, other = (host("it", f"@@ mandatory access\n{t}\n") for t in (active, standby))
    causes = diagnose(both(mandatory_access=(one.mandatory_access, other.mandatory_access))).causes
    told = [(c.certainty, c.host) for c in causes if "SELinux" in c.says]
    assert told == ([(certainty, at)] if certainty else [])


def test_how_a_node_tells_it(tmp_path: Path) -> None:
    sections = node_sections.sections(("postgres",))
    text = subprocess.run(["sh", "-c", sections["files"]], capture_output=True, text=True).stdout
    seen = host("it", f"@@ files\n{text}").files
    assert seen is not None and seen["/dev/null"].kind == "character special file" and seen["/etc/passwd"].others_may(4)
    names = tmp_path / "initiatorname.iscsi"

    def told(content: str) -> dict[str, str]:
        names.write_text(content)
        line = sections["identities"].replace(node_sections.INITIATOR, str(names)).replace("/sys/class/iscsi_session", str(tmp_path))
        done = subprocess.run(["sh", "-c", line], capture_output=True, text=True)
        assert "iqn.2004" not in done.stdout
        return {file.rpartition("/")[2]: digits for file, digits in host("it", f"@@ identities\n{done.stdout}").identities.items()}

    first = told("## a comment\nInitiatorName=iqn.2004-10.com.example:01:abc\n")
    assert first["sessions"] == "yes" and first == told("InitiatorName=iqn.2004-10.com.example:01:abc\n")
    assert first != told("InitiatorName=iqn.2004-10.com.example:01:abd\n")
    assert "initiatorname.iscsi" not in told("GenerateName=yes\n")
