"""The container engine of this machine, docker or podman: one word apart on the command line, and never a network of its own."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.core.errors import Unusable
from harness.lab.guests.images.image_store import Image

LABEL = "lkharness.lab"  # on every container of a lab: the keeper's pid and start time, by which a dead lab's are known
COMMAND_TIMEOUT_S = 300.0  # of one command of the engine's, on a busy machine
MEND = "apt-get install -y --no-install-recommends podman runc"
# What systemd, Corosync (real time, locked memory), Pacemaker's agents and captures need besides what engines give by themselves. A host of
# a lab is no sandbox (docs/architecture.md). --privileged would ask for what this machine may not have itself.
CAPABILITIES = {"SYS_ADMIN": 21, "NET_ADMIN": 12, "NET_RAW": 13, "SYS_NICE": 23, "IPC_LOCK": 14, "SYS_PTRACE": 19, "SYS_RESOURCE": 24}
# The container's own part of the control groups is given to its systemd; then it waits for its NICs.
FIRST_PROCESS = "mount -o remount,rw /sys/fs/cgroup 2>/dev/null; read -r _ < /run/lab/power-on; exec /sbin/init"


@dataclass(frozen=True)
class Engine:
    """docker or podman, with the words that every command of it begins with."""

    words: tuple[str, ...]

    @property
    def is_podman(self) -> bool:
        """Whether it is podman, which runs no daemon."""
        return Path(self.words[0]).name == "podman"

    def run(self, *arguments: str, limit: float = COMMAND_TIMEOUT_S) -> str:
        """One command; returns what it printed. Raises Unusable with its own last words."""
        try:
            completed = subprocess.run([*self.words, *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=limit)
        except subprocess.TimeoutExpired as error:
            raise Unusable(f"{self.words[0]} {arguments[0]} did not end within {limit:g} s") from error
        if completed.returncode != 0:
            raise Unusable(f"{self.words[0]} {arguments[0]} failed: {(completed.stderr.strip().splitlines() or ['it said nothing'])[-1]}")
        return completed.stdout.strip()

    def has_image(self, image: Image) -> bool:
        """Whether the engine has it in its own store."""
        return bool(self.run("images", "--quiet", image.tag))

    def take_in(self, image: Image) -> None:
        """Have the engine import the image, unless it has it."""
        if not self.has_image(image):
            self.run("import", str(image.root), image.tag)

    def forget(self, image: Image) -> None:
        """Have the engine remove its copy."""
        if self.has_image(image):
            self.run("rmi", image.tag)

    def create(self, name: str, image: str, *, label: str, hostname: str, hosts: Mapping[str, str], binds: Mapping[str, str]) -> None:
        """A container that is not started yet. `binds`: path here to path there, with `:ro` after it where it is only read."""
        command = ["create", "--name", name, "--label", f"{LABEL}={label}", "--hostname", hostname]
        command += ["--network", "none", "--cgroupns", "private", "--env", "container=docker", "--restart", "no"]
        command += ["--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined"]
        for mount in ("/run:exec,mode=755", "/run/lock", "/tmp:exec"):
            command += ["--tmpfs", mount]
        for capability in own_capabilities():
            command += ["--cap-add", capability]
        for host_name, address in hosts.items():
            command += ["--add-host", f"{host_name}:{address}"]
        for source, target in binds.items():
            command += ["--volume", f"{source}:{target}"]
        if self.is_podman:  # it would raise these, which needs a right that this machine may lack
            files = min(65536, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
            command += ["--systemd", "always", "--ulimit", f"nofile={files}:{files}", "--ulimit", "nproc=4096:4096"]
        self.run(*command, "--entrypoint", _entry(self.is_podman), image, *([] if self.is_podman else ["-c", FIRST_PROCESS]))

    def start(self, name: str) -> int:
        """Start it, after an earlier end of it has been noticed; returns the pid of its first process."""
        if self.run("inspect", "--format", "{{.State.Running}}", name) == "true":
            self.run("wait", name)
        self.run("start", name)
        return int(self.run("inspect", "--format", "{{.State.Pid}}", name))

    def of(self, label: str) -> list[str]:
        """The ids of every container with that value of the label."""
        return self.run("ps", "--all", "--quiet", "--filter", f"label={LABEL}={label}").split()

    def labels(self) -> set[str]:
        """The values of the label on this machine."""
        ids = self.run("ps", "--all", "--quiet", "--filter", f"label={LABEL}").split()
        return {
            value
            for container_id in ids
            if (value := self.run("inspect", "--format", f'{{{{index .Config.Labels "{LABEL}"}}}}', container_id))
        }

    def remove(self, containers: Iterable[str]) -> None:
        """End and remove them, with their anonymous volumes."""
        if ids := list(containers):
            self.run("rm", "--force", "--volumes", *ids)


def _entry(podman: bool) -> str:
    return json.dumps(["/bin/sh", "-c", FIRST_PROCESS]) if podman else "/bin/sh"


def own_capabilities() -> list[str]:
    """Those of CAPABILITIES that this process could give away itself."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapBnd:"))
    bounding = int(line.split()[1], 16)
    return [name for name, number in CAPABILITIES.items() if bounding >> number & 1]


def find() -> Engine:
    """The engine to be used: docker where its daemon answers, else podman. Raises Unusable with what is lacking."""
    reasons = []
    if docker := shutil.which("docker"):
        try:
            engine = Engine((docker,))
            engine.run("version", "--format", "{{.Server.Version}}", limit=20.0)
            return engine
        except (Unusable, OSError) as error:
            reasons.append(str(error))
    if podman := shutil.which("podman"):
        return Engine((podman, *(("--runtime", runc) if (runc := shutil.which("runc")) else ())))
    detail = f" ({'; '.join(reasons)})" if reasons else ""
    raise Unusable(f"guests of kind container need docker or podman, and there is neither{detail}; fix it with: {MEND}")


def demand() -> Engine:
    """The engine, for a process that may use it. Raises Unusable."""
    if os.geteuid() != 0:
        raise Unusable(
            "guests of kind container are run by root only, so that their NICs can be moved in; use sudo, or guests of kind namespace"
        )
    return find()
