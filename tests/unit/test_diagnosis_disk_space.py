"""The diagnosis of a large file system of which next to nothing is left."""

from __future__ import annotations

import pytest
from diagnosis_sample import both

from harness.cluster import linux_disk_space
from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.engine import diagnose
from harness.diagnosis.linux_host_script_parse import host

GB = 1024 * 1024
OTHER = "/dev/sda1 31457280 3145728 28311552 10% /"


def disks(row: str, kind: str = "ext4", options: str = "rw,relatime") -> str:
    """The section of a host whose /var/log is on the file system of that row of `df -Pk`, if it is mounted there."""
    mount = row.split()[5]
    log = row if mount in ("/var/log", "/") else OTHER
    places = "\n".join([f"/tmp {OTHER}", f"/var/tmp {OTHER}", f"/var/log {log}", f"/run {OTHER}", f"/etc {row if mount == '/' else OTHER}"])
    mounts = f"/dev/sda1 / ext4 rw 0 0\n/dev/sdb1 {mount} {kind} {options} 0 0"
    return f"@@ disks\n{places}\n{mounts}\n@ blocks\nFilesystem 1024-blocks Used Available Capacity Mounted on\n{OTHER}\n{row}\n@ inodes\n"


def told(text: str) -> list[Cause]:
    seen = host("it", text)
    return [c for c in diagnose(both(nearly_full=([], seen.nearly_full))).causes if "nearly full" in c.says]


def row(mount: str = "/var/log", size: int = 2 * GB, left: int = 2048, kept: int = 0, share: int = 100) -> str:
    return f"/dev/sdb1 {size} {size - left - kept} {left} {share}% {mount}"


@pytest.mark.parametrize(
    ("line", "certainty"),
    [
        (row(), Certainty.LIKELY),
        (row("/"), Certainty.LIKELY),
        (row("/srv/shared"), Certainty.POSSIBLE),
        (row(kept=GB // 10), Certainty.POSSIBLE),  # root has more
    ],
)
def test_next_to_nothing_is_left(line: str, certainty: Certainty) -> None:
    (cause,) = told(disks(line))
    assert cause.host == "lknode02" and cause.certainty is certainty and "2048 kB available" in cause.evidence[0]


@pytest.mark.parametrize(
    "text",
    [
        disks(row(left=60 * 1024)),
        disks(row(size=GB // 2)),
        disks(row(share=98)),
        disks(row(left=0)),  # a finding of its own
        disks(row("/snap/core"), kind="squashfs", options="ro"),
        disks(row("/mnt/iso"), options="ro,relatime"),
        "@@ disks\n",
        "",
    ],
)
def test_room_enough_or_none_at_all_is_another_matter(text: str) -> None:
    assert told(text) == []


def test_what_is_nearly_full_is_not_full() -> None:
    """Which would be a fault, and keep a run from what it disturbs."""
    assert linux_disk_space.judge(disks(row()).removeprefix("@@ disks\n")) == []


INODES = "Filesystem Inodes IUsed IFree IUse% Mounted on\n/dev/sdb1 {} {} {} {}% {}\n"


@pytest.mark.parametrize(
    ("inodes", "certainty"),
    [
        ((100, 95, 5, 95, "/var/log"), Certainty.LIKELY),
        ((655360, 655300, 60, 100, "/srv/www"), Certainty.POSSIBLE),
        ((655360, 655000, 360, 100, "/var/log"), None),
        ((100, 90, 10, 90, "/var/log"), None),
        ((100, 100, 0, 100, "/var/log"), None),  # which is a finding by itself
        ((0, 0, 0, "-", "/var/log"), None),
    ],
)
def test_next_to_no_inode_left(inodes: tuple[object, ...], certainty: Certainty | None) -> None:
    seen = host("it", disks(row(str(inodes[-1]), left=GB, share=50)) + INODES.format(*inodes))
    causes = [c for c in diagnose(both(few_inodes=({}, seen.few_inodes))).causes if "inode left" in c.says]
    assert [(c.host, c.certainty) for c in causes] == ([] if certainty is None else [("lknode02", certainty)])
