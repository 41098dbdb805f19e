"""Snapshots of machines in the cache: which lab goes on from which, and what a killed command leaves."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness import cli
from harness.core.errors import BadUse
from harness.lab import lab_config
from harness.lab.guests.images import image_store
from harness.lab.guests.machine import machine_provisioning, machine_snapshot
from harness.lab.lifecycle import default_cluster, ssh_keys
from harness.lab.lifecycle.machine_launch import PreparedMachines


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    image = image_store.Image(tmp_path, {"name": "pacemaker", "key": "1"})
    monkeypatch.setattr(image_store, "find", lambda name: image)
    return tmp_path / "cache/lkharness/snapshots"


@pytest.fixture
def lab_folder(tmp_path):
    folder = tmp_path / "lab"
    (folder / "keys").mkdir(parents=True)
    ssh_keys.make(folder / "keys", "login")
    (folder / machine_snapshot.KEY_FILE).write_text("abc123")
    return folder


def data(**changes):
    given = {"manager": {"kind": "pacemaker"}, **changes}
    return default_cluster.cluster_data("fast", default_cluster.with_guests(given, "machine"))


def key_of(content, **changes):
    settings = lab_config.parse(content["lab"], Path("x"))
    return machine_snapshot.key(
        content, settings, **{"accelerator": "tcg", "emulator": "QEMU 7.2", "programs": "1", "bare": False, **changes}
    )


def save(folder: Path) -> None:
    for name in ("lknode01.qcow2", "lknode02.qcow2", machine_snapshot.SHARED_DISK):
        (folder / name).write_bytes(b"disk")


def test_the_key_is_that_of_what_is_in_the_machines(cache, monkeypatch):
    content = data()
    own = key_of(content)
    assert own == key_of({**data(), "name": "another"})  # every run of the suite has a lab of another name
    others = [
        key_of(data(design="floating")),
        key_of(content, accelerator="kvm"),
        key_of(content, emulator="QEMU 9"),
        key_of(content, bare=True),
        key_of(content, programs="2"),
    ]
    monkeypatch.setattr(image_store, "find", lambda name: image_store.Image(Path("x"), {"name": name, "key": "2"}))
    others.append(key_of(content))
    monkeypatch.setattr(machine_snapshot.qemu_command_line, "FORMAT", 99)
    others.append(key_of(content))
    assert len({own, *others}) == len(others) + 1


def test_kept_found_listed_and_removed(cache, lab_folder, capsys):
    kept = machine_snapshot.keep(lab_folder, "mine", ["lknode01", "lknode02"], save)
    assert machine_snapshot.find("abc123").folder == kept.folder == cache / "abc123"
    assert machine_snapshot.disk_of(kept.folder, "lknode02").read_bytes() == b"disk"
    assert machine_snapshot.find("abc124") is None
    assert cli.main(["lab", "snapshot", "list"]) == 0
    assert capsys.readouterr().out.startswith("abc123  lknode01, lknode02  of the lab mine  ")
    assert cli.main(["lab", "snapshot", "remove", "nothing"]) == 2
    assert cli.main(["lab", "snapshot", "remove", "abc123"]) == 0
    assert list(cache.iterdir()) == [] and machine_snapshot.snapshots() == []


def test_a_later_one_takes_the_place_of_an_earlier_one(cache, lab_folder):
    machine_snapshot.keep(lab_folder, "first", [], save)
    machine_snapshot.keep(lab_folder, "second", [], save)
    assert [snapshot.about["lab"] for snapshot in machine_snapshot.snapshots()] == ["second"] and len(list(cache.iterdir())) == 1


def test_what_fails_or_is_killed_halfway_is_no_snapshot(cache, lab_folder):
    def fail(folder: Path) -> None:
        save(folder)
        raise BadUse("the lab is gone")

    with pytest.raises(BadUse, match="the lab is gone"):
        machine_snapshot.keep(lab_folder, "mine", [], fail)
    assert list(cache.iterdir()) == []
    half, living = cache / ".abc123.999999999", cache / f".other.{os.getppid()}"
    for folder in (half, living):
        folder.mkdir()
        (folder / machine_snapshot.ABOUT).write_text("{}")
    assert machine_snapshot.snapshots() == []
    machine_snapshot.keep(lab_folder, "mine", [], save)
    assert sorted(path.name for path in cache.iterdir()) == [living.name, "abc123"]


def test_a_lab_without_machines_cannot_be_kept(cache, lab_folder):
    (lab_folder / machine_snapshot.KEY_FILE).unlink()
    with pytest.raises(BadUse, match="the lab 'mine' has no virtual machines"):
        machine_snapshot.keep(lab_folder, "mine", [], save)


def test_a_lab_that_goes_on_has_the_keys_that_its_machines_know(cache, lab_folder, tmp_path):
    kept = machine_snapshot.keep(lab_folder, "mine", [], save)
    new = tmp_path / "new"
    new.mkdir()
    PreparedMachines("tcg", "abc123", kept.folder).give_keys(new)
    assert (new / machine_snapshot.KEY_FILE).read_text() == "abc123"
    ssh_keys.write_all(new, [("login", "10.20.1.11", 4022)])
    line = (lab_folder / "keys/login.pub").read_text().rsplit(" ", 1)[0]
    assert (new / "known_hosts").read_text() == f"[127.0.0.1]:4022 {line}\n10.20.1.11 {line}\n"
    assert (new / "keys/login").read_text() == (lab_folder / "keys/login").read_text()
    assert (new / "keys/login").stat().st_mode & 0o777 == 0o600


def test_a_nic_is_named_with_its_host(capsys):
    assert cli.main(["lab", "nic", "unplug", "eth0"]) == 2
    assert "'eth0' is no NIC; write the host, a dot and the NIC" in capsys.readouterr().err


def test_a_machine_of_other_programs_is_another_machine(tmp_path):
    package = tmp_path / "harness"
    for folder in (*machine_provisioning.ROOMS, "lab/guests/machine", "report"):
        (package / folder).mkdir(parents=True)
        (package / folder / "a.py").write_text("1")
    (package / "lab/guests/container_provisioning.py").write_text("1")
    keys = [machine_provisioning.programs_key(package)]
    (package / "report/a.py").write_text("2")
    assert machine_provisioning.programs_key(package) == keys[0]  # of the harness only
    for changed in ("lab/services/a.py", "lab/guests/machine/a.py", "lab/guests/container_provisioning.py"):
        (package / changed).write_text("2")
        keys.append(machine_provisioning.programs_key(package))
    assert len(set(keys)) == 4
