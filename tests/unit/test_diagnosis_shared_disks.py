"""The diagnosis of disks of the cluster's own that are mounted beside the cluster manager."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

from diagnosis_sample import IN, OUT, client, evidence, faults, node, only, paths, state

from harness.collect.linux_host_script import _FSTAB
from harness.core.finding import Finding, Weight
from harness.diagnosis.cause import Certainty
from harness.diagnosis.engine import diagnose
from harness.diagnosis.evidence import Evidence, PathSeen
from harness.diagnosis.linux_host_script_parse import host

MOUNTS = "= 5 /srv/shared/data\n/dev/sda1 / ext4 rw 0 0\n{}\nrubbish\n"


def with_disk(standby: str = "", at_boot: str = "", on_standby: Any = OUT, place: str = "directory disk", **more: Any) -> Evidence:
    seen = host("it", f"@@ working folders\n{MOUNTS.format(standby)}\n@@ fstab\n{at_boot}\n")
    units = {place: "/srv/shared"}
    one = node("lknode01", units=units, mounts={"/srv/shared": "xfs"})
    hosts = {"lknode01": one, "lknode02": node("lknode02", units=units, mounts=seen.mounts, at_boot=seen.at_boot), "lkclient": client()}
    return evidence(hosts=hosts, state=state({"disk": IN}, {"disk": on_standby}), **more)


def test_a_disk_that_is_mounted_where_the_manager_has_it_out_of_service() -> None:
    cause = only(with_disk("/dev/sdc1 /srv/shared xfs rw 0 0"), "lknode02", "/srv/shared is mounted on lknode02 as well", "lknode01")
    assert cause.certainty is Certainty.LIKELY and "whether it is the same disk" in cause.do
    for kind in ("ext4", "overlay", "tmpfs"):  # it is another one: the active node has xfs there
        assert "as well" not in only(with_disk(f"x /srv/shared {kind} rw 0 0"), "lknode02").says, kind
    only(with_disk("/dev/sdc1 /srv/shared xfs rw 0 0", place="place disk"), "lknode02", "/srv/shared")
    shared = ("nfs4", "nfs", "cifs", "gfs2", "ocfs2", "autofs", "fuse.glusterfs", "fuse", "fuse3", "aznfs", "ceph", "lustre")
    harmless = (*(f"x /srv/shared {kind} rw 0 0" for kind in shared), "/dev/sdc1 /srv/shared2 xfs rw 0 0", "/dev/sdc1 /srv xfs rw 0 0", "")
    for line in harmless:
        assert faults(diagnose(with_disk(line))) == [], line
    mounted = "/dev/sdc1 /srv/shared xfs rw 0 0"
    assert not [c for c in faults(diagnose(with_disk(mounted, on_standby=IN))) if "as well" in c.says]  # a clone
    assert faults(diagnose(with_disk(mounted, unrelated_resources=frozenset({"disk"})))) == []
    assert faults(diagnose(with_disk(mounted, moved=True))) == []


def test_something_else_where_the_disk_has_to_be() -> None:
    foreign = only(
        with_disk("none /srv/shared ramfs rw 0 0"), "lknode02", "something else is mounted on /srv/shared (ramfs)", "foreign folder"
    )
    assert foreign.certainty is Certainty.LIKELY and "umount /srv/shared`" in foreign.do
    only(with_disk("none /srv/shared/old ramfs rw 0 0"), "lknode02", "/srv/shared/old, below /srv/shared (ramfs)", "mounted over it")
    for line in ("none /srv/shared2/old ramfs rw 0 0", "x /srv/shared autofs rw 0 0", "none /srv ramfs rw 0 0"):
        assert faults(diagnose(with_disk(line))) == [], line
    assert not [c for c in faults(diagnose(with_disk("none /srv/shared ramfs rw 0 0", on_standby=IN))) if "something else" in c.says]
    assert faults(diagnose(with_disk("none /srv/shared ramfs rw 0 0", moved=True))) == []
    own = with_disk("/dev/sdd1 /srv/shared/wal xfs rw 0 0")  # another disk of the cluster's, which is the other rule's
    units = {"directory disk": "/srv/shared", "directory wal": "/srv/shared/wal"}
    hosts = {name: replace(seen, units=units) if name != "lkclient" else seen for name, seen in own.hosts.items()}
    assert not [c for c in faults(diagnose(replace(own, hosts=hosts))) if "something else" in c.says]


def test_two_disks_at_one_place_that_take_turns_or_have_a_node_each() -> None:
    """What is mounted there may be the other one's, and to unmount it would stop a service."""
    both = {"directory disk": "/srv/shared", "directory other": "/srv/shared"}
    base = with_disk("/dev/sdd1 /srv/shared xfs rw 0 0")
    hosts = {name: replace(seen, units=both) if name != "lkclient" else seen for name, seen in base.hosts.items()}
    for theirs in ({"other": IN}, {}):  # of another application's resource no state is told
        unrelated = frozenset() if theirs else frozenset({"other"})
        told = state({"disk": IN, **({"other": OUT} if theirs else {})}, {"disk": OUT, **theirs})
        found = faults(diagnose(replace(base, hosts=hosts, state=told, unrelated_resources=unrelated)))
        assert not [cause for cause in found if "as well" in cause.says]
    idle = state({"disk": IN, "other": OUT}, {"disk": OUT, "other": OUT})
    assert [c for c in faults(diagnose(replace(base, hosts=hosts, state=idle))) if "as well" in c.says]


def test_a_disk_of_the_clusters_that_is_mounted_at_boot() -> None:
    cause = only(with_disk(at_boot="/srv/shared xfs"), "lknode02", "/etc/fstab of lknode02 mounts /srv/shared at boot", "noauto")
    assert cause.certainty is Certainty.LIKELY
    of_several = ("/srv/shared nfs4", "/srv/shared aznfs", "/srv/shared none", "/srv/shared bind")
    for line in (*of_several, "/srv/other xfs", "/srv xfs", "/srv/shared", ""):
        assert faults(diagnose(with_disk(at_boot=line))) == [], line
    assert faults(diagnose(with_disk(at_boot="/srv/shared xfs", unrelated_resources=frozenset({"disk"})))) == []


def test_how_a_host_tells_of_what_is_mounted_at_boot(tmp_path: Path) -> None:
    table = tmp_path / "fstab"
    lines = ["# /dev/sdz /srv/old xfs defaults", "#/dev/sdy /srv/older xfs defaults", "", "UUID=7 / ext4 defaults 0 1",
             "/dev/sda2 none swap sw",
             "/dev/sdc1\t/srv/shared\txfs\tdefaults,nofail 0 0", "/dev/sdd1 /srv/with\\040blank/ ext4 defaults",
             "/dev/sde1 /srv/by-hand xfs noauto", "/dev/sde1 /srv/on-access xfs defaults,x-systemd.automount 0 2",
             "/data/shared /srv/folder ext4 bind,rw 0 0", "/data/all /srv/folders none rbind 0 0",
             "//files/x /srv/files cifs username=u,password=S3cret 0 0", "/dev/sda1 /boot/efi vfat umask=0077"]  # fmt: skip
    table.write_text("\n".join([*lines, "/dev/sdf1 /srv/last xfs"]))  # by hand, without a line end
    text = subprocess.run(["sh", "-c", _FSTAB.replace("/etc/fstab", str(table))], capture_output=True, text=True, check=True).stdout
    assert "S3cret" not in text
    assert host("it", f"@@ fstab\n{text}").at_boot == {
        "/srv/shared": "xfs",
        "/srv/with blank": "ext4",
        "/srv/files": "cifs",
        "/srv/last": "xfs",
    }


def saying(words: str) -> list[PathSeen]:
    return [replace(p, outcome="fail", identity=words) if p.service.name == "database" else p for p in paths()]


def test_a_full_disk_stands_before_what_the_service_says_of_it() -> None:
    """One cause: which disk, and for which service that is so. A full disk of another node, or words about something else, are none."""
    full = Finding(Weight.FAULT, "lknode01", "disk", "/srv/shared is full: 0 kB are left, 100 % are used", "make room")
    words = "10.20.1.200:5432: PostgreSQL answers, but does not serve: FATAL: XX000: could not write init file"
    for said in (words, "FATAL: 53100: could not extend file", "error 28: No space left on device"):
        lost = saying(said)
        cause = only(evidence(paths=lost, findings=(full,)), "lknode01", said, "make room there")
        assert cause.says.startswith("/srv/shared is full")
    lost = saying(words)
    elsewhere = faults(diagnose(evidence(paths=lost, findings=(replace(full, host="lknode02"),))))
    assert sorted((c.host, c.says.startswith("disk: ")) for c in elsewhere) == [("lknode01", False), ("lknode02", True)]
    other = saying("FATAL: 28000: no entry in pg_hba.conf")
    assert not any("cannot serve them for that" in c.says for c in faults(diagnose(evidence(paths=other, findings=(full,)))))


def test_what_is_mounted_below_the_disk_that_has_to_move() -> None:
    it = with_disk()
    below = {"/srv/shared": "xfs", "/srv/shared/export": "tmpfs"}

    def seen(mounts: dict[str, str], kind: str = "lifekeeper", **units: str) -> list[str]:
        hosts = {**it.hosts, "lknode01": node("lknode01", units={"directory disk": "/srv/shared", **units}, mounts=mounts)}
        cluster = it.cluster.model_copy(update={"manager": it.cluster.manager.model_copy(update={"kind": kind})})
        return [c.says for c in faults(diagnose(replace(it, hosts=hosts, cluster=cluster))) if "could not be unmounted" in c.says]

    (says,) = seen(below)
    assert says.startswith("/srv/shared/export (tmpfs) is mounted below /srv/shared of lknode01, the file system of disk")
    assert seen({"/srv/shared": "xfs", "/srv/shared2/export": "tmpfs"}) == []
    assert seen(below, **{"directory export": "/srv/shared/export"}) == [], "the cluster manager's own"
    assert seen(below, kind="pacemaker") == [], "whose agent unmounts it, too"
