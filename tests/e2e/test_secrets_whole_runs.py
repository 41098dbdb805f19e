"""Whole runs about a cluster that says secrets wherever it is asked: every verb one after the other, on one lab.

Both nodes write a secret, in every encoding that is one line, into their cluster manager's log all the while; it stands in a firewall
rule, in /etc/hosts and in a NIC's alias, and every answer to a password's question is one. The cluster file leads to others. Whatever is
written or shown is looked through, what is packed unpacked, and so are the arguments of all processes of this machine.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import sqlite3
import subprocess
import tarfile
import threading
import tomllib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
import tomli_w
from command_shell import Shell, shell_in

from harness.core.deadline import Deadline
from tests.secret_encoding_cases import found_in, lines_of

SAID = "canary-said-7Qz&4%x"  # known to a run by a variable of its environment
POWER, TOLD = "canary-power-8Wy", "canary-receiver-9Vx"  # in a power command, in a receiver of notifications
UNKNOWN = "canary-unknown-6Pq"  # known by its name only
LOGGED = "said as"
EVERY = {SAID: "said", POWER: "power", TOLD: "receiver", UNKNOWN: "unknown"}
pytestmark = [pytest.mark.deep, pytest.mark.timeout(1800)]


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    with shell_in(tmp_path / "state") as one:
        yield one


def in_host(shell: Shell, host: str, line: str) -> None:
    done = shell.lkharness("lab", "exec", host, "--", "sh", "-c", line)
    assert done.returncode == 0, done.stderr


def say_secrets(shell: Shell) -> None:
    text = "".join(f"lcm[7]: {LOGGED} {name}: {said}\n" for name, said in lines_of(SAID).items()) + f"lcm[7]: password={UNKNOWN}\n"
    line = 'printf \'%s %s\\n\' "$stamp" "$line"'
    stamped = f"stamp=$(tail -n 1 $log | cut -d' ' -f1-4); while read -r line; do {line}; done </tmp/said >>$log"
    forever = f"log=/var/log/lifekeeper.log; while :; do {stamped}; sleep 3; done"
    for host in ("lknode01", "lknode02"):
        in_host(shell, host, f"cat >/tmp/said <<'END'\n{text}END\ncat >/tmp/say <<'END'\n{forever}\nEND")
        in_host(shell, host, "setsid sh /tmp/say </dev/null >/dev/null 2>&1 &")
        in_host(shell, host, f"echo '192.0.2.9 else.example # {SAID} password={UNKNOWN}' >>/etc/hosts; ip link set eth1 alias 'of {SAID}'")
        rule = f"nft add rule inet canary own counter comment '\"{SAID}\"'"
        in_host(shell, host, f"nft add table inet canary; nft add chain inet canary own; {rule}")


def cluster_file(shell: Shell, folder: Path) -> Path:
    """One that leads to secrets, and whose power commands fail with one on their lips."""
    lab = shell.labs / "lab"
    data = tomllib.loads((lab / "cluster.toml").read_text())
    for machine in (data["client"], *data["nodes"]):
        machine["ssh"] |= {"key": str(lab / "keys/login"), "known_hosts": str(lab / "known_hosts")}
    says = f'echo "no user with $2, password={UNKNOWN[:9]}""{UNKNOWN[9:]}" >&2; exit 1'
    fence = ["sh", "-c", says, "fence", "--password", POWER]
    data["power"] = {"off": fence, "on": ["true"]}
    made = folder / "whole.toml"
    made.write_text(tomli_w.dumps(data))
    assert shell.lkharness("trust", "--yes", made).returncode == 0
    return made


def contents(name: str, raw: bytes) -> Iterator[tuple[str, bytes]]:
    """A file, and what is packed in it."""
    yield name, raw
    if raw[:2] == b"\x1f\x8b":
        yield from contents(f"{name}, unpacked", gzip.decompress(raw))
    elif raw[257:262] == b"ustar":
        with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
            for member in (one for one in tar if one.isfile()):
                yield from contents(f"{name}/{member.name}", tar.extractfile(member).read())  # type: ignore[union-attr]
    elif raw.startswith(b"SQLite format 3\0"):
        with contextlib.closing(sqlite3.connect(":memory:")) as stored:
            stored.deserialize(raw)
            yield f"{name}, dumped", "\n".join(stored.iterdump()).encode()


class Watched:
    """Runs commands and looks through all that comes of them."""

    def __init__(self, shell: Shell, folder: Path, file: Path) -> None:
        self.shell, self.folder, self.file = shell, folder, file
        self.seen: set[str] = set()
        self.looked: set[tuple[str, int, int]] = set()
        self.said = ""

    def run(self, *words: object, codes: tuple[int, ...]) -> subprocess.CompletedProcess[str]:
        done = self.shell.lkharness(*words, limit=900, SOME_API_TOKEN=SAID)
        self.said = done.stdout + done.stderr
        assert done.returncode in codes and "Traceback" not in self.said, (words, done.returncode, self.said[-3000:])
        self._clean(f"the terminal of {words[0]}", self.said.encode())
        for path in self.folder.rglob("*"):
            if path.is_file():
                state = path.stat()
                mark = (str(path), state.st_size, state.st_mtime_ns)
                if mark not in self.looked:
                    self.looked.add(mark)
                    for name, raw in contents(str(path.relative_to(self.folder)), path.read_bytes()):
                        self._clean(name, raw)
        assert not self.seen, (words, self.seen)
        return done

    def _clean(self, name: str, raw: bytes) -> None:
        found = [(what, form) for value, what in EVERY.items() for form in found_in(raw, value)]
        assert not found, (name, found, [raw[max(0, at - 150) : at + 60] for v in EVERY if (at := raw.find(v.encode())) >= 0])

    @contextlib.contextmanager
    def arguments(self) -> Iterator[None]:
        """Everybody may read those of every process. The power command's are the cluster file's own, and are short-lived."""
        over = threading.Event()

        def look() -> None:
            while not over.wait(0.3):
                for file in Path("/proc").glob("[0-9]*/cmdline"):
                    with contextlib.suppress(OSError):
                        raw = file.read_bytes()
                        self.seen.update(f"{file} {what}" for v, what in EVERY.items() if v != POWER and v.encode() in raw)

        watcher = threading.Thread(target=look)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()


def kept(watched: Watched, recorded: tuple[object, ...]) -> bool:
    """Whether every host's incident is over."""
    hosts = json.loads(watched.run("record", "status", "--json", *recorded, codes=(0,)).stdout)["hosts"].values()
    return all(host["incidents"] and all(one["ended"] for one in host["incidents"]) for host in hosts)


def test_no_verb_lets_one_out(shell: Shell, tmp_path: Path) -> None:
    shell.home.mkdir(exist_ok=True)
    shell.up("--file", shell.patient())
    say_secrets(shell)
    inputs, out = tmp_path / "in", tmp_path / "out"
    inputs.mkdir()
    out.mkdir()
    watched = Watched(shell, out, cluster_file(shell, inputs))
    receivers = inputs / "receivers"
    receivers.write_text(f"json://user:{quote(TOLD)}@127.0.0.1:9/\n")
    receivers.chmod(0o600)
    of, reports = ("--cluster", watched.file), ("--reports", out / "reports")
    with watched.arguments():
        watched.run("check", *of, codes=(0, 1))
        watched.run("check", "--json", *of, codes=(0, 1))
        watched.run("acceptance", *of, *reports, "--allow-disruption", "-v", codes=(0, 1, 3))
        first = (out / "reports" / "latest").resolve()
        watched.run(
            *("failover", *of, *reports, "--allow-disruption", "--disruption", "switchover", "--disruption", "power loss"),
            *("--notify", receivers, "-v"),
            codes=(1, 3, 4),
        )
        second = (out / "reports" / "latest").resolve()
        assert "no user with [removed], password=[removed]" in " ".join(watched.said.split())
        logs = [path.read_text(errors="replace") for path in second.rglob("*manager.log")]
        assert any(log.count(LOGGED) >= 40 for log in logs), "the log with all encodings was not collected"
        recordings = [path.read_text() for path in second.rglob("recording.jsonl")]
        assert any(LOGGED in one for one in recordings), "no agent read the log while it was measured"
        for run in (first, second):
            watched.run("explain", run, codes=(0, 1, 3))
            watched.run("explain", run, "--json", codes=(0, 1, 3))
            watched.run("report", run, codes=(0, 1, 3, 4))
        watched.run("judge", second, "--write", codes=(0, 1, 3))
        watched.run("compare", first, second, codes=(0, 1, 2, 3))
        watched.run("history", out / "reports", codes=(0, 1, 3))
        shell.lkharness("init", "--gate", inputs / "gate.toml")
        watched.run("gate", second, "--gate", inputs / "gate.toml", "--signoff", codes=(0, 1, 3))
        assert (second / "signoff.html").exists() and (out / "reports" / "index.html").exists()
        watched.run("collect", *of, "--output", out / "bundle.tar.gz", codes=(0, 3))
        watched.run("check", out / "bundle.tar.gz", codes=(0, 1, 3))
        packed = [raw for _, raw in contents("bundle", (out / "bundle.tar.gz").read_bytes())]
        assert max(raw.count(LOGGED.encode()) for raw in packed) >= 40, "the log with all encodings is not in the bundle"
        watched.run("fleet", watched.file, "--reports", out / "fleet", "--", "acceptance", "-k", "probe", codes=(0, 1, 3, 4))
        recorded = ("--cluster", watched.file)
        watched.run("record", "--yes", *recorded, codes=(0,))
        try:
            watched.run("record", "mark", f"since then password={UNKNOWN}", *recorded, codes=(0, 1))
            watched.run("record", "status", *recorded, codes=(0,))
            Deadline(300).wait_for(lambda: kept(watched, recorded), what="the incident that was marked being over", every=2.0)
            watched.run("record", "fetch", *recorded, *reports, codes=(0, 1, 3))
            fetched = [one for one in (out / "reports").iterdir() if one.is_dir() and one.resolve() not in (first, second)]
            files = [path.read_text(errors="replace") for one in fetched for path in one.rglob("*") if path.is_file()]
            assert any(LOGGED in text for text in files), "no recorder read the log"
        finally:
            watched.run("record", "remove", "--yes", *recorded, codes=(0,))
