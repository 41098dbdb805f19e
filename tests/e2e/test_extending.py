"""The example of docs/extending.md, taken from the page and installed: a service kind that the harness never heard of.

Here against a server on loopback, as `check` and the meter ask it; in the deep part through the balancer of a lab.
"""

from __future__ import annotations

import json
import re
import socket
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import tomli_w
from agent_fixtures import measuring, series
from command_shell import REPOSITORY, shell_in
from test_answered_means_served import peer

from harness.config import cluster_config
from harness.core.deadline import Deadline
from harness.core.errors import BadUse
from harness.hosts.local_host import LocalHost
from harness.plugins.extension_points import SERVICES
from harness.services import service_registry
from harness.services.service_kind import NotTheService, TurnedAway

PAGE = (REPOSITORY / "docs" / "extending.md").read_text(encoding="utf-8")
MODULE, PROJECT, SERVICE = (re.search(rf"```{kind}\n({begin}.*?)```", PAGE, re.DOTALL)[1] for kind, begin in (
    ("python", '"""Redis'), ("toml", r"\[build-system\]"), ("toml", r"\[\[services\]\]")
))  # fmt: skip
# What stands in for Redis in a host of the lab: it answers INFO and PING, and ends with the lab.
SERVER = """
import os, socketserver, time
BEGAN = time.time()
class Talk(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            info = b"# Server\\r\\nredis_version:7.2.4\\r\\nuptime_in_seconds:%d\\r\\n" % (time.time() - BEGAN)
            self.wfile.write(b"$%d\\r\\n%s\\r\\n" % (len(info), info) if line.upper().startswith(b"INFO") else b"+PONG\\r\\n")
socketserver.ThreadingTCPServer.allow_reuse_address = True
socketserver.ThreadingTCPServer.request_queue_size = 512
server = socketserver.ThreadingTCPServer(("0.0.0.0", 6379), Talk)
server.daemon_threads = True
if os.fork():  # it listens: whoever started it may go on
    os._exit(0)
for end in range(3):
    os.dup2(os.open(os.devnull, os.O_RDWR), end)
server.serve_forever()
"""


def install(folder: Path) -> None:
    """As pip would: the module, and the package's metadata of what its pyproject.toml says."""
    project = tomllib.loads(PROJECT)["project"]
    (folder / "lk_redis.py").write_text(MODULE, encoding="utf-8")
    info = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n", encoding="utf-8")
    groups = [
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in points.items())
        for group, points in project["entry-points"].items()
    ]
    (info / "entry_points.txt").write_text("\n".join(groups), encoding="utf-8")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "site"
    folder.mkdir()
    install(folder)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr(SERVICES, "_plugged", None)
    monkeypatch.setattr(SERVICES, "_loaded", {})
    yield folder
    sys.modules.pop("lk_redis", None)


@pytest.fixture
def cluster(package: Path) -> cluster_config.Cluster:
    """The example cluster file with the page's service, read as every command reads one."""
    file = package.parent / "cluster.toml"
    file.write_text((REPOSITORY / "cluster.example.toml").read_text(encoding="utf-8") + SERVICE, encoding="utf-8")
    return cluster_config.load(file, only_looked_at=True)


def says(info: bytes, ping: bytes = b"+PONG\r\n") -> Callable[[socket.socket], None]:
    def behave(sock: socket.socket) -> None:
        while said := sock.recv(4096):
            sock.sendall(info if said.startswith(b"INFO") else ping * said.count(b"PING"))

    return behave


def bulk(text: bytes) -> bytes:
    return b"$%d\r\n%s\r\n" % (len(text), text)


def test_it_is_asked_who_it_is(cluster: cluster_config.Cluster) -> None:
    [service] = [s for s in cluster.services if s.kind == "redis"]
    assert (service.name, service.port) == ("cache", 6379)
    kind, settings = service_registry.kind("redis"), service_registry.settings_of(service, cluster)

    def ask(behave: Callable[[socket.socket], None], **more: str):
        with peer(behave) as port:
            return kind.who_are_you("127.0.0.1", port, settings={**settings, **more}, deadline=Deadline(60))

    identity = ask(says(bulk(b"# Server\r\nredis_version:7.2.4\r\nuptime_in_seconds:12\r\n")))
    assert identity.said == "Redis 7.2.4" and identity.started is not None
    with pytest.raises(TurnedAway, match="demands a password"):
        ask(says(b"-NOAUTH Authentication required.\r\n"))
    for other in (b"HTTP/1.1 400 Bad Request\r\n", bulk(b"# Server\r\n")):
        with pytest.raises(NotTheService, match="answered INFO"):
            ask(says(other))
    with pytest.raises(ConnectionResetError, match="without a word"):
        ask(lambda sock: sock.recv(100) and None)
    with pytest.raises(BadUse, match="services of kind redis have no setting pasword"):
        ask(says(b""), pasword="x")


@pytest.mark.parametrize(("ping", "answers"), [(b"+PONG\r\n", True), (b"-LOADING Redis is loading\r\n", False)])
def test_its_path_is_measured(cluster: cluster_config.Cluster, tmp_path: Path, ping: bytes, answers: bool) -> None:
    """By the agent that runs on hosts, with what the kind says: a server that cannot serve yet has not answered."""
    [service] = [s for s in cluster.services if s.kind == "redis"]
    hello = service_registry.hello(service, cluster)
    spool = tmp_path / "spool"
    spool.mkdir()
    with peer(says(b"", ping)) as port:
        limit = {} if answers else {"limit_s": 1.0}  # a right answer is waited for as long as a busy machine takes
        asked = series("p", port, kind="pinned", say=hello.say, expect=hello.expect, **limit)
        with measuring(LocalHost("here"), spool, asked) as (_, seen):
            seen.wait_rows("p", 20 if answers else 2)
    assert (seen.outcomes("p") == {"answered"}) is answers and ("answered" in seen.outcomes("p")) is answers, seen.rows["p"][:5]


@pytest.mark.deep
def test_its_path_through_a_balancer_is_checked_and_measured(package: Path, tmp_path: Path) -> None:
    """A lab whose balancer carries its port, a server on the active node, and a copy of its cluster file that names the service."""
    with shell_in(tmp_path / "state") as shell:
        shell.environment["PYTHONPATH"] = str(package)
        wide = tmp_path / "wide.toml"
        wide.write_text("[budget]\nmargin_s = 60.0\n[[lab.rules]]\nport = 6379\n")
        shell.up("--file", wide)
        assert shell.lkharness("lab", "exec", "lknode01", "--", "python3", "-c", SERVER).returncode == 0
        lab = shell.labs / "lab" / "cluster.toml"
        file = lab.with_name("attached.toml")  # beside its keys
        data = tomllib.loads(lab.read_text())
        [cache] = tomllib.loads(SERVICE)["services"]
        # In the place of a service of the lab, whose resource in the cluster manager stands for the server's own.
        data["services"] = [{**cache, "tag": s["tag"]} if s["kind"] == "http" else s for s in data["services"]]
        file.write_text(tomli_w.dumps(data))
        done = shell.lkharness("check", "--json", "--trust-cluster-file", "--cluster", file)
        seen = json.loads(done.stdout)
        checks = [one for one in seen["paths"] if one["service"] == "cache"]
        assert len(checks) == 3 and all("the redis service started when the one on lknode01 did" in one["reason"] for one in checks), checks
        assert done.returncode == 0 and not [f for f in seen["findings"] if f["weight"] == "fault"], done.stdout
        reports = tmp_path / "reports"
        words = ["--cluster", file, "--trust-cluster-file", "--allow-disruption", "--reports", reports, "--disruption", "none"]
        done = shell.pytest("tests/failover", *words)
        assert done.returncode == 0, done.stdout
        assert any("cache" in f.read_text() for f in reports.rglob("run.json"))
