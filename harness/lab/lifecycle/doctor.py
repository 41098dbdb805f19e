"""What this machine lacks for a lab, and the exact command that fixes each lack."""

from __future__ import annotations

import ctypes.util
import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from harness.core.errors import Unusable
from harness.lab.guests.images import container_engine, image_build, image_store
from harness.lab.pacemaker import packages
from harness.lab.services.postgres_template import server_binaries

PATHS = os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"])


@dataclass(frozen=True)
class MachineCheck:
    """One thing that was looked at: what was found, and the command that fixes what is lacking."""

    what: str
    ok: bool
    message: str
    fix: str = ""


def examine(manager: str = "lifekeeper", *, windows: bool = False) -> list[MachineCheck]:
    """Look at everything a lab needs. Changes nothing."""
    checks = [*(_program(*p) for p in (*PROGRAMS, *(MONO if windows else ()))), _libnftables(), _postgres()]
    checks += [pacemaker()] if manager == "pacemaker" else []
    if os.geteuid() != 0:
        checks += [_program("newuidmap", "uidmap"), _subuid(), _apparmor()]
    if all(c.ok for c in checks):
        checks += [_namespaces(), _nftables()]
    return checks


def machines() -> list[MachineCheck]:
    """What guests of kind machine need besides: a lab without them works."""
    from harness.lab.guests.machine import tap  # what other labs come up without
    from harness.lab.lifecycle import machine_launch

    findings = []
    if os.geteuid() != 0:
        findings.append(MachineCheck("root", False, "guests of kind machine are run by root only", "run lkharness with sudo"))
    if lack := machine_launch.architecture_lack():
        return [*findings, MachineCheck("processor", False, lack, "use guests of kind namespace or container here")]
    missing = machine_launch.missing_programs()
    message = f"the packages {', '.join(missing)} must be installed" if missing else "QEMU is installed"
    findings.append(MachineCheck("QEMU", not missing, message, _apt(*missing) if missing else ""))
    has_tun = tap.DEVICE.exists()
    findings.append(
        MachineCheck(
            str(tap.DEVICE),
            has_tun,
            "is there" if has_tun else "the NICs of machines need it, and it is missing",
            "" if has_tun else "modprobe tun",
        )
    )
    disk = _image(machine_launch.machine_disk_lack("pacemaker"), "machine disk of the image pacemaker", " --machine")
    if not disk.ok and not (mke2fs := _program("mke2fs", "e2fsprogs")).ok:
        findings.append(mke2fs)
    findings.append(disk)
    if not missing and disk.ok:
        findings.append(MachineCheck("hardware virtualisation", True, machine_launch.acceleration_found("pacemaker")))
    return findings


def _image(lack: str, what: str, option: str = "") -> MachineCheck:
    """`lack`: why there is none, or nothing."""
    fix = f"lkharness lab image build pacemaker{option}"
    if missing := image_build.lacking():
        fix = f"{_apt(*missing)} && {fix}"
    return MachineCheck(what, not lack, lack or "is built", fix if lack else "")


def containers() -> list[MachineCheck]:
    """What guests of kind container need besides: a lab without them works."""
    findings = []
    if os.geteuid() != 0:
        findings.append(MachineCheck("root", False, "guests of kind container are run by root only", "run lkharness with sudo"))
    try:
        used = container_engine.find()
        findings.append(MachineCheck("container engine", True, f"{used.words[0]} works"))
    except Unusable as error:
        findings.append(MachineCheck("container engine", False, str(error).partition("; fix it with")[0], _apt("podman", "runc")))
    try:
        image = image_store.find("pacemaker")
        findings.append(MachineCheck("image pacemaker", True, f"{image.root} is built"))
    except Unusable as error:
        fix = "lkharness lab image build pacemaker"
        if missing := image_build.lacking():
            fix = f"{_apt(*missing)} && {fix}"
        findings.append(MachineCheck("image pacemaker", False, str(error).partition("; build it")[0], fix))
    return findings


PROGRAMS = (
    ("ip", "iproute2"),
    ("unshare", "util-linux"),
    ("nsenter", "util-linux"),
    ("conntrack", "conntrack"),
    ("sshd", "openssh-server"),
    ("ssh", "openssh-client"),
    ("ss", "iproute2"),
    ("nft", "nftables"),
    ("mount", "mount"),
)


MONO = (("mcs", "mono-mcs"), ("mono", "mono-runtime"))  # for nodes that are stand-ins for Windows: the agent in C#


def demand(manager: str = "lifekeeper", *, windows: bool = False) -> None:
    """Raise Unusable with the first lack that a quick look finds (programs and libraries; the kernel shows itself)."""
    if manager == "pacemaker" and not (lack := pacemaker()).ok:
        raise Unusable(f"{lack.message}; fix it with: {lack.fix}")
    for check in (*(_program(*p) for p in (*PROGRAMS, *(MONO if windows else ()))), _libnftables(), _postgres()):
        if not check.ok:
            raise Unusable(f"{check.message}; fix it with: {check.fix}")


def _apt(*packages: str) -> str:
    return f"{'' if os.geteuid() == 0 else 'sudo '}apt-get install -y --no-install-recommends {' '.join(packages)}"


def _program(name: str, package: str) -> MachineCheck:
    program_path = shutil.which(name, path=PATHS)
    return MachineCheck(
        name,
        bool(program_path),
        f"{name} is {program_path}" if program_path else f"the program {name} is missing",
        "" if program_path else _apt(package),
    )


def _libnftables() -> MachineCheck:
    library = ctypes.util.find_library("nftables")
    return MachineCheck("libnftables", bool(library), library or "the library libnftables is missing", "" if library else _apt("nftables"))


def _postgres() -> MachineCheck:
    try:
        return MachineCheck("PostgreSQL", True, str(server_binaries()))
    except Unusable:
        return MachineCheck("PostgreSQL", False, "a PostgreSQL server is missing", _apt("postgresql"))


def pacemaker() -> MachineCheck:
    """What `lab up --manager pacemaker` needs besides: a lab without it works."""
    lacking = packages.missing()
    if not lacking:
        return MachineCheck("Pacemaker", True, "Pacemaker, Corosync and their resource agents are installed")
    noun = "the package" if len(lacking) == 1 else "the packages"
    return MachineCheck("Pacemaker", False, f"for a lab with Pacemaker, {noun} {', '.join(lacking)} must be installed", _apt(*lacking))


def _subuid() -> MachineCheck:
    user = pwd.getpwuid(os.geteuid()).pw_name
    for file in ("/etc/subuid", "/etc/subgid"):
        lines = Path(file).read_text().splitlines() if Path(file).exists() else []
        if not any(line.split(":")[0] in (user, str(os.geteuid())) for line in lines):
            fix = f"sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}"
            return MachineCheck("subordinate ids", False, f"{file} has no line for {user}, so there is no uid range for the lab", fix)
    return MachineCheck("subordinate ids", True, f"{user} has a range of uids and gids")


def _apparmor() -> MachineCheck:
    switch = Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
    if switch.exists() and switch.read_text().strip() == "1":
        fix = "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
        return MachineCheck(
            "user namespaces", False, "AppArmor forbids ordinary users to make user namespaces (Ubuntu 23.10 and newer)", fix
        )
    switch = Path("/proc/sys/kernel/unprivileged_userns_clone")
    if switch.exists() and switch.read_text().strip() == "0":
        return MachineCheck(
            "user namespaces", False, "ordinary users may not make user namespaces", "sudo sysctl -w kernel.unprivileged_userns_clone=1"
        )
    return MachineCheck("user namespaces", True, "ordinary users may make user namespaces")


def _in_namespaces(script: str) -> subprocess.CompletedProcess[str]:
    words = ["unshare", "--mount", "--pid", "--net", "--fork", "--mount-proc"]
    if os.geteuid() != 0:
        words[1:1] = ["--user", "--map-auto", "--map-root-user"]
    return subprocess.run([*words, "sh", "-c", script], capture_output=True, text=True, timeout=20, stdin=subprocess.DEVNULL)


def _kernel(what: str, script: str, fix: str) -> MachineCheck:
    completed_process = _in_namespaces(script)
    error_lines = completed_process.stderr.strip().splitlines()
    return MachineCheck(
        what,
        completed_process.returncode == 0,
        "works" if completed_process.returncode == 0 else f"this kernel refused: {error_lines[-1] if error_lines else 'no reason given'}",
        "" if completed_process.returncode == 0 else fix,
    )


def _namespaces() -> MachineCheck:
    script = (
        "d=$(mktemp -d) && mount -t tmpfs t $d && mkdir $d/u $d/w"
        " && mount -t overlay o -o lowerdir=/opt,upperdir=$d/u,workdir=$d/w /opt && ip link add a1 type veth peer name a2"
    )
    tell = "use a kernel with user, mount, pid and network namespaces, overlayfs and veth (in a container: run it privileged)"
    return _kernel("namespaces, overlay, veth", script, tell)


def _nftables() -> MachineCheck:
    script = (
        "PATH=$PATH:/usr/sbin:/sbin nft 'add table ip t; add chain ip t c { type nat hook prerouting priority -100; };"
        " add rule ip t c ct state new dnat to jhash ip saddr mod 2 map { 0 : 10.0.0.1, 1 : 10.0.0.2 }'"
    )
    return _kernel("nftables with NAT and connection tracking", script, "use a kernel with nf_tables, nft_nat, nft_hash and nf_conntrack")
