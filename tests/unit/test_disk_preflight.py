"""What a look at a host's disks amounts to."""

from __future__ import annotations

import pytest

from harness.cluster.linux_disk_space import judge

MOUNTS = "/dev/vda1 / ext4 rw,relatime 0 0\ntmpfs /run tmpfs rw,nosuid 0 0\n"
SOUND = "".join(f"{p} /dev/vda1 100 50 50000 1% /\n" for p in ("/tmp", "/var/tmp", "/var/log")) + "/run tmpfs 9 1 8000 1% /run\n"


def df(mounted: str, inodes: int, free: int) -> str:
    """What `df -P` tells of one file system: nearly full of blocks, and with so many inodes left."""
    blocks = f"@ blocks\nFilesystem 1024-blocks Used Available Capacity Mounted on\nx 100000 99000 {free} 99% {mounted}\n"
    return blocks + f"@ inodes\nFilesystem Inodes IUsed IFree IUse% Mounted on\nx 100 {100 - inodes} {inodes} {100 - inodes}% {mounted}\n"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (SOUND + MOUNTS, []),
        (SOUND.replace("/tmp /dev/vda1 100 50 50000 1% /", "/tmp absent", 1) + MOUNTS, ["there is no /tmp"]),
        (SOUND.replace("8000", "0") + MOUNTS, ["/run is full: /run has 0 kB left"]),
        (SOUND + MOUNTS + "tmpfs /run tmpfs ro 0 0\n", ["/run cannot be written to: /run is mounted read-only"]),
        (
            SOUND + MOUNTS.replace("rw,relatime", "ro"),
            [f"{p} cannot be written to: / is mounted read-only" for p in ("/tmp", "/var/tmp", "/var/log")],
        ),
        (SOUND + MOUNTS + "tmpfs /srv/x tmpfs rw 0 0\n" + df("/srv/x", 90, 12), ["/srv/x is full: 12 kB are left, 99 % are used"]),
        (SOUND + MOUNTS + "/dev/loop1 /snap/x squashfs ro 0 0\n" + df("/snap/x", 90, 0), []),
        (SOUND + MOUNTS + df("/elsewhere", 90, 0), []),
        (SOUND + MOUNTS + df("/", 0, 5000), ["/ is full: no inode is left there, though it may have room"]),
        (SOUND + "/var/lib/pacemaker absent\n" + MOUNTS, []),
        (SOUND + "/var/lib /dev/vda1 100 50 3 99% /\n" + MOUNTS, []),  # as full as /var/log is, which says it
        (
            SOUND
            + "/var/lib/pacemaker p 100 50 0 100% /var/lib/pacemaker\n/opt/LifeKeeper o 9 1 900 1% /opt\n"
            + MOUNTS
            + "o /opt ext4 ro 0 0\n",
            [
                "/var/lib/pacemaker is full: /var/lib/pacemaker has 0 kB left",
                "/opt/LifeKeeper cannot be written to: /opt is mounted read-only",
            ],
        ),
        ("", []),
        ("/tmp \n/var/tmp df: x\n/var/log\n/run a b c d e f\n", []),
    ],
)
def test_what_keeps_programs_from_writing(text: str, found: list[str]):
    assert judge(text) == found
