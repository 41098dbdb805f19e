"""Hosts that are virtual machines, as far as that needs none: QEMU's command line, first programs, addresses, fence device, the trial."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from harness.config import cluster_config
from harness.core.errors import Unusable
from harness.lab import lab_config, topology
from harness.lab.guests.host_provisioning import AZURE_CA, AZURE_FILES
from harness.lab.guests.images import image_store, machine_image, newc_archive
from harness.lab.guests.machine import acceleration, machine_provisioning
from harness.lab.guests.machine.qemu_command_line import InheritedFiles, MachineHardware, MachineNic, command_line
from harness.lab.lifecycle import default_cluster
from harness.lab.pacemaker import cib, fence_agent, install

CLUSTER = cluster_config.parse(default_cluster.cluster_data(None, {"manager": {"kind": "pacemaker"}}), Path("x"))
HARDWARE = MachineHardware(
    architecture="x86_64",
    accelerator="tcg",
    memory_mb=768,
    processors=1,
    kernel=Path("/image/vmlinuz"),
    disk=Path("/image/disk, of mine.raw"),
    nics=(MachineNic("eth0", "00:0d:3a:14:01:0b"), MachineNic("eth1", "00:0d:3a:14:02:0b")),
    console=Path("/lab/console.log"),
    management=MachineNic("mgmt0", "52:54:00:ff:00:0b"),
    management_address="192.168.255.11",
)
FILES = InheritedFiles(monitor=3, initrd=4, overlay=5, taps={"eth0": 6, "eth1": 7})


def options(words: list[str], name: str) -> list[str]:
    return [words[place + 1] for place, word in enumerate(words) if word == f"-{name}"]


def test_the_image_is_only_read_and_everything_is_written_elsewhere() -> None:
    words = command_line("n", HARDWARE, FILES)
    devices = options(words, "blockdev")
    image = [device for device in devices if "disk,, of mine.raw" in device]
    assert len(image) == 1 and image[0].endswith("read-only=on") and "/image/disk, of" not in " ".join(words)
    assert [device for device in devices if "read-only=on" not in device and "filename" in device] == [
        "driver=file,node-name=written,filename=/dev/fdset/1,cache.no-flush=on"
    ]
    assert options(words, "add-fd") == ["fd=5,set=1"] and options(words, "device")[0] == "virtio-blk-pci,drive=disk"


def test_it_waits_for_its_legs_and_its_end_is_left_to_the_lab() -> None:
    words = command_line("n", HARDWARE, FILES)
    assert {"-S", "-no-reboot", "-nodefaults", "-no-user-config"} <= set(words)
    assert "panic=-1" in options(words, "append")[0].split()  # a panic is a reboot, and so the end


def test_each_nic_has_its_tap_and_the_last_one_is_the_management_s() -> None:
    words = command_line("n", HARDWARE, FILES)
    assert options(words, "netdev")[:2] == ["tap,id=eth0,fd=6", "tap,id=eth1,fd=7"]
    assert "hostfwd=tcp:127.0.0.1:22-192.168.255.11:22" in options(words, "netdev")[2] and len(options(words, "netdev")) == 3
    cards = [device for device in options(words, "device") if device.startswith("virtio-net-pci")]
    assert [card.split("mac=")[1].split(",")[0] for card in cards] == [
        "00:0d:3a:14:01:0b",
        "00:0d:3a:14:02:0b",
        "52:54:00:ff:00:0b",
    ]


def test_only_an_emulated_machine_takes_its_time_from_the_chip_set() -> None:
    assert "clocksource=hpet" in options(command_line("n", HARDWARE, FILES), "append")[0]
    assert "clocksource" not in options(command_line("n", replace(HARDWARE, accelerator="kvm"), FILES), "append")[0]


def test_a_shared_disk_may_be_opened_by_both_nodes() -> None:
    words = command_line("n", replace(HARDWARE, shared_disk=Path("/run/shared.raw")), FILES)
    assert any("/run/shared.raw" in device and "locking=off" in device for device in options(words, "blockdev"))
    assert options(words, "device")[1] == "virtio-blk-pci,drive=shared,share-rw=on"


def unpack(data: bytes) -> dict[str, tuple[int, bytes]]:
    """Path to mode and content, as the kernel reads the format."""
    entries, place = {}, 0
    while True:
        assert data[place : place + 6] == b"070701"
        fields = [int(data[place + 6 + 8 * n : place + 14 + 8 * n], 16) for n in range(13)]
        name_size, size = fields[11], fields[6]
        name = data[place + 110 : place + 110 + name_size - 1].decode()
        place += (110 + name_size + 3) // 4 * 4
        if name == newc_archive.TRAILER:
            assert place == len(data)
            return entries
        entries[name] = (fields[1], data[place : place + size])
        place += (size + 3) // 4 * 4


def test_an_archive_has_folders_before_their_files_with_modes_and_links(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir(mode=0o755)
    (tmp_path / "etc/key").write_bytes(b"secret")
    (tmp_path / "etc/key").chmod(0o600)
    (tmp_path / "etc/other").symlink_to("key")
    entries = unpack(newc_archive.archive(tmp_path, "seed"))
    assert list(entries) == ["seed", "seed/etc", "seed/etc/key", "seed/etc/other"]
    assert entries["seed/etc/key"] == (0o100600, b"secret") and entries["seed/etc/other"] == (0o120777, b"key")


def test_drivers_come_after_what_they_need_and_built_in_ones_are_left_out(tmp_path: Path) -> None:
    for name, needs in (("virtio_net", "net_failover"), ("net-failover", "failover"), ("failover", ""), ("other", "virtio_net")):
        (tmp_path / f"{name}.ko").write_bytes(b"ELF\0depends=" + needs.encode() + b"\0name=x\0")
    assert [name for name, _ in machine_image._drivers(tmp_path)] == ["failover.ko", "net_failover.ko", "virtio_net.ko"]


def test_a_disk_is_made_of_debians_own_kernel_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ubuntu's packages have other names, and its drivers another compression."""
    release = {"ID": "ubuntu", "ID_LIKE": "debian", "VERSION_CODENAME": "noble"}
    monkeypatch.setattr(machine_image.platform, "freedesktop_os_release", lambda: release)
    image = image_store.Image(tmp_path, {"name": "pacemaker", "key": "x"})
    with pytest.raises(Unusable, match="Debian's kernel for clouds, and this is ubuntu; make it on Debian"):
        machine_image.make(image)


def test_addresses_are_given_as_in_every_guest_and_the_management_s_beside_them() -> None:
    nics = topology.make_topology(CLUSTER).of("lknode01")
    script = machine_provisioning.network_script(nics, "192.168.255.11")
    lines = script.split("<<END\n")[1].splitlines()
    assert lines[:3] == ["link set lo up", "link set eth2 name mgmt0", "link set mgmt0 up"]
    assert "address add 10.20.1.11/24 dev eth0" in lines and "route add default via 10.20.1.1 dev eth0" in lines
    assert lines[-2:] == ["address add 192.168.255.11/24 dev mgmt0", "END"]
    assert "echo 0 > /proc/sys/net/ipv4/tcp_timestamps" in script


@pytest.mark.parametrize("azure", [True, False])
def test_a_machine_trusts_the_authority_of_azures_stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, azure: bool) -> None:
    """As hosts of every other kind: what fences through Azure's API has to."""
    settings = lab_config.LabSettings.model_validate({"guests": {"lknode01": {"kind": "machine"}}})
    (tmp_path / AZURE_FILES).mkdir(parents=True)
    (tmp_path / AZURE_FILES / "ca.pem").write_text("the authority")
    laid_over: list[str] = []
    monkeypatch.setattr(machine_provisioning, "write_seed", lambda *_, **__: None)
    monkeypatch.setattr(machine_provisioning.image_store, "find", lambda name: None)
    monkeypatch.setattr(machine_image, "find", lambda image: machine_image.MachineImage(tmp_path))
    monkeypatch.setattr(machine_image, "seed_archive", lambda disk: laid_over.extend(map(str, disk.rglob("*"))) or b"")
    machine_provisioning.machine_plans(
        *(CLUSTER, settings, topology.make_topology(CLUSTER), tmp_path, tmp_path),
        accelerator="tcg",
        snapshot=None,
        bare=True,
        azure=azure,
    )
    assert any(path.endswith(AZURE_CA) for path in laid_over) is azure


def test_a_shared_disk_that_is_a_device_is_mounted_as_one() -> None:
    assert 'value="bind"' in cib.text(CLUSTER) and "ext4" not in cib.text(CLUSTER)
    text = cib.text(CLUSTER, disk_device="/dev/vdb")
    assert 'value="/dev/vdb"' in text and 'value="ext4"' in text and 'value="bind"' not in text


def test_the_fence_agent_finds_its_device_where_no_socket_file_reaches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    asked: list[dict] = []

    def answer() -> None:
        line, _ = listener.accept()
        with line, line.makefile("rwb") as file:
            asked.append(json.loads(file.readline()))
            file.write(b'{"ok": true}\n')

    thread = threading.Thread(target=answer)
    thread.start()
    (tmp_path / "device").write_text(f"127.0.0.1 {listener.getsockname()[1]}\n")
    monkeypatch.setattr(fence_agent, "DEVICE", tmp_path / "device")
    assert fence_agent.ask(op="off", node="n2", by="n1") == {"ok": True}
    thread.join(60)
    listener.close()
    assert asked == [{"op": "off", "node": "n2", "by": "n1"}]


QEMU = {
    "a kernel that speaks": "echo '[    0.000000] Linux version 6.1'; exec sleep 600",
    "one that hangs": "exec sleep 600",
    "one that ends": "echo 'failed to set MSR' >&2; exit 134",
}


@pytest.mark.parametrize(("kind", "works"), [("a kernel that speaks", True), ("one that hangs", False), ("one that ends", False)])
def test_virtualisation_is_tried_within_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, works: bool) -> None:
    program = tmp_path / "qemu"
    program.write_text(f"#!/bin/sh\n{QEMU[kind]}\n")
    program.chmod(0o755)
    monkeypatch.setattr(
        acceleration, "PROGRAMS", dict.fromkeys(acceleration.PROGRAMS, str(program)) | {acceleration.platform.machine(): str(program)}
    )
    assert acceleration.kvm_works(Path("/vmlinuz"), limit=60.0 if works or "ends" in kind else 0.5) is works


def test_what_the_trial_showed_is_kept_until_the_next_boot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[Path] = []
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(acceleration, "version", lambda: "QEMU 7.2")
    monkeypatch.setattr(acceleration, "KVM", tmp_path / "kvm")
    monkeypatch.setattr(acceleration, "BOOT_ID", tmp_path / "boot")
    monkeypatch.setattr(acceleration, "kvm_works", lambda kernel: bool(tries.append(kernel)))
    (tmp_path / "boot").write_text("1\n")
    assert acceleration.accelerator(Path("/k")) == "tcg" and tries == []  # there is no device to be tried
    (tmp_path / "boot").write_text("2\n")
    (tmp_path / "kvm").touch()
    assert [acceleration.accelerator(Path("/k")) for _ in range(2)] == ["tcg", "tcg"] and len(tries) == 1
    (tmp_path / "boot").write_text("3\n")
    acceleration.accelerator(Path("/k"))
    assert len(tries) == 2


def test_the_fence_agent_describes_itself_without_an_interpreter(tmp_path: Path) -> None:
    (tmp_path / "metadata.xml").write_text("<resource-agent/>\n")
    (tmp_path / "python").write_text('#!/bin/sh\necho "$@"; cat\n')
    (tmp_path / "python").chmod(0o755)
    script = install.FENCE_SCRIPT.replace(install.FENCE_METADATA, str(tmp_path / "metadata.xml")).replace(
        install.PYTHON, str(tmp_path / "python")
    )
    run = lambda said: subprocess.run(["sh", "-c", script], input=said, capture_output=True, text=True, check=True).stdout  # noqa: E731
    assert run("action=metadata\n") == "<resource-agent/>\n"
    assert run("action=off\nplug=n2\n") == "-m harness.lab.pacemaker.fence_agent\naction=off\nplug=n2\n"
