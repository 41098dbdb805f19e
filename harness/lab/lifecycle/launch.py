"""Bringing a lab up: its folder, keys and cluster file, then its first process in namespaces of its own."""

from __future__ import annotations

import json
import os
import select
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.config import cluster_config, trust
from harness.core.deadline import Deadline
from harness.core.errors import BadUse, HarnessError, Unusable
from harness.lab import lab_config, lifekeeper_config
from harness.lab.azure import api_launch
from harness.lab.control import control_socket, lab_registry
from harness.lab.guests.host_provisioning import MSSQL_FILES, REPOSITORY, WINDOWS_PROGRAMS, stand_in_note
from harness.lab.guests.images.image_store import cache_folder
from harness.lab.guests.windows import install as windows
from harness.lab.lifecycle import container_launch, doctor, ssh_keys
from harness.lab.lifecycle.lab_cluster_file import cluster_file_text, database_password_file
from harness.lab.network import dhcp
from harness.lab.services.postgres_template import ensure_template

if TYPE_CHECKING:
    from harness.lab.lifecycle import machine_launch

Progress = Callable[[str], None]
_TAKEN = (
    "a lab named {name!r} is being brought up, or removed, by another command at this moment; wait for its end, or choose another --name"
)
REASON_MARGIN_S = 5.0  # before the launch gives up, the lab's first process says what it waits for


class RunningLab:
    """A lab just brought up. Unless persistent, it dies with the process that holds this object."""

    def __init__(self, record: lab_registry.LabRecord, lifeline: int | None, timings: dict[str, float]) -> None:
        self.record = record
        self.timings = timings
        self._lifeline = lifeline

    @property
    def cluster_file(self) -> Path:
        """The cluster file of this lab."""
        return self.record.cluster_file

    def known_cut(self, host: str, seconds: float) -> tuple[float, float]:
        """Cut a host off for `seconds`; returns when that began and ended, on this machine's monotonic clock."""
        assert self.record.pid is not None
        began, ended = control_socket.ask(self.record.pid, "known_cut", limit=seconds + 10.0, node=host, seconds=seconds)
        return began, ended

    def down(self) -> None:
        """Ends the lab and everything that runs in it; does nothing for one that has ended."""
        self.record.end()
        if self._lifeline is not None:
            os.close(self._lifeline)
            self._lifeline = None


def up(
    data: dict[str, Any],
    *,
    name: str,
    persistent: bool,
    progress: Progress = lambda text: None,
    limit: float = 60.0,
    network_only: bool = False,
    azure: bool = False,
    agreed: bool = True,
    may_resume: bool = True,
) -> RunningLab:
    """Bring up the lab that `data` (a cluster file's content) describes; with `azure` its stand-in for Azure's API beside it.

    `may_resume`: machines go on from a snapshot of the same lab, where there is one.
    `agreed`: somebody has agreed to all that `data` asks of this machine, so that the lab's own cluster file is agreed to as well.
    Raises BadUse for faults of the file, Unusable (with what would mend it) when this machine cannot carry the lab.
    """
    settings = _demand_possible(data, name)
    machines: machine_launch.PreparedMachines | None = None
    if settings.machines:
        from harness.lab.lifecycle import machine_launch  # what other labs come up without

        machines = machine_launch.prepare(data, settings, progress, bare=network_only, azure=azure, may_resume=may_resume)
        limit = max(limit, machine_launch.UP_TIMEOUT_S)
    deadline, began = Deadline(max(limit, container_launch.UP_TIMEOUT_S) if settings.containers else limit), time.time()
    folder = _fresh_folder(name)
    with _owned(folder, name):
        lab = _bring_up(
            data,
            name,
            folder,
            deadline,
            began,
            persistent=persistent,
            progress=progress,
            network_only=network_only,
            azure=azure,
            agreed=agreed,
            machines=machines,
        )
        if machines and machines.snapshot:
            machine_launch.set_clocks(lab.record, settings.machines)
        return lab


@contextmanager
def _owned(folder: Path, name: str) -> Iterator[None]:
    """Nobody else removes the folder, or brings a lab of that name up, meanwhile. Raises BadUse where somebody was quicker."""
    with ExitStack() as stack:
        try:
            stack.enter_context(lab_registry.owned(folder))
        except (BlockingIOError, FileNotFoundError):
            raise BadUse(_TAKEN.format(name=name)) from None
        yield


def _bring_up(
    data: dict[str, Any],
    name: str,
    folder: Path,
    deadline: Deadline,
    began: float,
    *,
    persistent: bool,
    progress: Progress,
    network_only: bool,
    azure: bool,
    agreed: bool,
    machines: machine_launch.PreparedMachines | None,
) -> RunningLab:
    ready = interrupted = False
    process = None
    keeper: container_launch.Prepared | None = None
    lifeline, hold = os.pipe()
    news_read_fd, news_write_fd = os.pipe()
    listeners: dict[str, socket.socket] = {}
    stand_in: api_launch.Prepared | None = None
    try:
        if azure:
            stand_in = api_launch.prepare(folder, data)
            data = {**data, "azure": stand_in.table}
        if machines:
            machines.give_keys(folder)
        listeners = _prepare(data, name, folder, network_only=network_only)
        if agreed:
            trust.agree_to_own(folder / "cluster.toml")
        keeper = container_launch.prepare(folder, name)
        doors = {host: s.fileno() for host, s in listeners.items()}
        order = {
            "name": name,
            "folder": str(folder),
            "cluster_file": str(folder / "cluster.toml"),
            **(keeper.order if keeper else {}),
            **(machines.order if machines else {}),
            "said_fd": news_write_fd,
            "lifeline_fd": lifeline,
            "listeners": doors,
            "persistent": persistent,
            "network_only": network_only,
            "azure": {name: stand_in.table[name] for name in ("subscription", "resource_group")} if stand_in else None,
            "database_template": "" if network_only else _database_template(data),
            "limit": max(1.0, deadline.remaining() - REASON_MARGIN_S),  # so that it can say itself what is missing
            "began": began,
        }
        process = _spawn(order, folder, [news_write_fd, lifeline, *doors.values(), *(keeper.fds if keeper else [])])
        os.close(news_write_fd)
        news_write_fd = -1
        timings = _hear(news_read_fd, process, folder, deadline, progress)
        if stand_in:
            stand_in.start(folder, deadline)
            progress(f"Azure's API up after {deadline.elapsed():.2f} s")
        ready = True
        return RunningLab(lab_registry.read(folder), None if persistent else hold, timings)
    except KeyboardInterrupt:
        interrupted = True
        raise
    finally:
        for listener in [*listeners.values(), *([stand_in.listener] if stand_in else [])]:
            listener.close()
        for fd in (lifeline, news_read_fd, news_write_fd):
            if fd >= 0:
                os.close(fd)
        if keeper:
            keeper.let_go()
        if persistent or not ready:
            os.close(hold)
        if not ready:
            _abandon(process, folder, keeper, keep_log=not interrupted)


def _demand_possible(data: dict[str, Any], name: str) -> lab_config.LabSettings:
    """The lab's settings. Raises BadUse for a cluster file with faults, Unusable where this machine lacks what its lab needs."""
    file = lab_registry.folder_of(name) / "cluster.toml"
    settings = lab_config.make_lab_config(cluster_config.parse(data, file), file)  # from here on every table is one
    os.environ["PATH"] = doctor.PATHS  # an ordinary user's lacks the folders where the lab's programs are
    windows_nodes = any(node.get("platform") == "windows" for node in data.get("nodes", ()))
    doctor.demand(data.get("manager", {}).get("kind", "lifekeeper"), windows=windows_nodes)
    if settings.with_dhcp:
        dhcp.demand()
    return settings


def _fresh_folder(name: str) -> Path:
    folder = lab_registry.folder_of(name)
    try:
        if folder.exists():
            there = lab_registry.read(folder)
            if there.starting:
                raise BadUse(_TAKEN.format(name=name))
            if there.alive:
                mend = f"take it down with `lkharness lab down --name {name}` or choose another --name"
                raise BadUse(f"a lab named {name!r} is running already; {mend}")
            there.end()
        folder.mkdir(parents=True, mode=0o700)
    except FileExistsError:
        raise BadUse(_TAKEN.format(name=name)) from None
    except OSError as error:
        raise Unusable(f"{folder} cannot be made ({error.strerror}); set XDG_STATE_HOME to a folder you can write to") from error
    return folder


def _prepare(data: dict[str, Any], name: str, folder: Path, *, network_only: bool) -> dict[str, socket.socket]:
    """Write the folder's content; return the listening loopback socket of each host."""
    file = folder / "cluster.toml"
    cluster = cluster_config.parse(data, file)
    settings = lab_config.make_lab_config(cluster, file)
    of_manager = lifekeeper_config.known_of_manager(cluster, settings)
    if not network_only:
        _ports_can_be_shared_out(cluster, file)
    listeners = {}
    for machine in cluster.machines:
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        listeners[machine.name] = listener
    ssh_keys.write_all(folder, [(m.name, str(m.address), listeners[m.name].getsockname()[1]) for m in cluster.machines])
    if any(service.kind == "mssql" for service in cluster.services):
        from harness.lab import certificate_authority  # cryptography, which most labs need not

        (folder / MSSQL_FILES).mkdir(mode=0o700)
        addresses = dict.fromkeys(str(address) for address in (cluster.vip, *(node.address for node in cluster.nodes)))
        certificate_authority.make(folder / MSSQL_FILES, list(addresses), of="stand-in for SQL Server")
    if lab_config.has_windows(cluster):
        (folder / WINDOWS_PROGRAMS).mkdir()
        for program, program_file in windows.compile_programs(cache_folder()).items():
            shutil.copyfile(program_file, folder / WINDOWS_PROGRAMS / f"{program}.exe")
    at_fabric = [machine.name for machine in cluster.machines if settings.captured_at_fabric(machine.name)]
    by_fabric = None if settings.capture == "hosts" else at_fabric
    completed = {**data, "manager": {**of_manager, **data.get("manager", {})}}
    file.write_text(cluster_file_text(completed, name, listeners, stand_in_note(cluster), by_fabric))
    return listeners


def _ports_can_be_shared_out(cluster: cluster_config.Cluster, file: Path) -> None:
    """The lab's health-check responder listens itself, so no service may have its port."""
    port = cluster.load_balancer.probe.port
    for service in cluster.services:
        if service.port == port:
            raise BadUse(f"{file}: services: {service.name} has the probe's port {port}; in a lab the responder needs a port of its own")


def _database_template(data: dict[str, Any]) -> str:
    if not any(service["kind"] in lab_config.DATABASES for service in data["services"]):
        return ""
    return str(ensure_template(cache_folder(), database_password_file().read_text()))


def _spawn(order: dict[str, Any], folder: Path, fds: list[int]) -> subprocess.Popen:
    words = ["unshare", "--mount", "--pid", "--net", "--fork", "--mount-proc", "--kill-child=KILL", "--propagation", "private"]
    if os.geteuid() != 0:
        words[1:1] = ["--user", "--map-auto", "--map-root-user"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            [*words, sys.executable, "-m", "harness.lab.process.lab_process", json.dumps(order)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=fds,
            start_new_session=True,
            cwd="/",
            env=environment,
        )


def _hear(news_fd: int, process: subprocess.Popen, folder: Path, deadline: Deadline, progress: Progress) -> dict[str, float]:
    """Follow the first process's news until it is ready. Raises what it failed with."""
    buffer = b""
    while True:
        if not select.select([news_fd], [], [], deadline.remaining())[0]:
            raise Unusable(
                f"the lab was not ready within {deadline.seconds:g} s; its log is {_kept_log(folder)}; "
                "`lkharness doctor` says what this machine lacks"
            )
        chunk = os.read(news_fd, 65536)
        if not chunk:
            raise Unusable(_last_words(process, folder))
        buffer += chunk
        *lines, buffer = buffer.split(b"\n")
        for line in lines:
            news = json.loads(line)
            if "failed" in news:
                raise _failure(news)
            if news.get("ready"):
                return news["timings"]
            if news["step"] == "network":
                _record(process, folder)
            progress(f"{news['step']} up after {deadline.elapsed():.2f} s")


def _record(process: subprocess.Popen, folder: Path) -> None:
    """Write down who the lab's first process is: unshare's only child."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    pid = int(children[0])
    (folder / "lab.json").write_text(json.dumps({"pid": pid, "start_ticks": lab_registry.start_ticks(pid)}))


def _failure(news: dict[str, Any]) -> HarnessError:
    return (BadUse if news["code"] == BadUse.exit_code else Unusable)(news["failed"])


def _last_words(process: subprocess.Popen, folder: Path) -> str:
    process.wait()
    lines = (folder / "log").read_text(errors="replace").strip().splitlines()
    why = lines[-1] if lines else f"exit {process.returncode}"
    return f"the lab's first process died: {why}; `lkharness doctor` says what this machine lacks"


def _kept_log(folder: Path) -> Path:
    """Where the log of a lab that did not come up is kept: its folder goes."""
    return folder.parent / f"{folder.name}.failed.log"


def _abandon(process: subprocess.Popen | None, folder: Path, keeper: container_launch.Prepared | None, *, keep_log: bool) -> None:
    """Leave nothing of a lab that did not come up, but its log beside its folder for a look."""
    if process is not None:
        process.kill()
        process.wait()
    if keeper:
        keeper.ended()
    log = folder / "log"
    if keep_log and log.exists():
        log.replace(_kept_log(folder))
    shutil.rmtree(folder)
