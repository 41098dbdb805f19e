"""A secret in every place that one can come from: no run, check or plan shows it anywhere, least of all when something fails of it."""

from __future__ import annotations

import base64
import os
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest
import tomli_w
from command_shell import Shell, shell_in

from harness.config import cluster_config, trust

PATHS = "tests/acceptance/test_client_path.py"
POWER_LOSS = ("tests/failover", "--disruption", "power loss", "--period", "250")  # a busy machine can keep this pace
CANARIES = {
    place: f"canary-{place}-7Qz&4%x" for place in ("inline", "file", "variable", "command", "passphrase", "power", "option", "echoed")
}


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    with shell_in(tmp_path_factory.mktemp("state")) as one:
        one.up("--name", "secrets", "--file", one.modest("database"))
        yield one


class Written:
    """A cluster file of its own for each question, and what everything said about it."""

    def __init__(self, shell: Shell, folder: Path) -> None:
        self.shell, self.folder, self.file = shell, folder, folder / "cluster.toml"
        self.reports = folder / "reports"
        self.lab = shell.labs / "secrets"
        self.right = (
            Path(cluster_config.load(self.lab / "cluster.toml", trusted=True).services[0].settings["password_file"])
            .read_text()
            .splitlines()[0]
        )
        self.said = ""
        self.known: dict[str, str] = {}  # further secrets that this run's own file leads to

    def write(self, settings: dict, *, key: Path | None = None, power: dict | None = None) -> None:
        data = tomllib.loads((self.lab / "cluster.toml").read_text())
        for machine in (data["client"], *data["nodes"]):
            machine["ssh"] |= {"key": str(key or self.lab / "keys/login"), "known_hosts": str(self.lab / "known_hosts")}
        data["services"][0]["settings"] = {"user": "harness", "dbname": "harness", **settings}
        data["power"] = power or data["power"]
        self.file.write_text(tomli_w.dumps(data))
        with patch.dict(os.environ, XDG_STATE_HOME=str(self.shell.home)):
            trust.agree_to_own(self.file)

    def check(self, **environment: str) -> int:
        return self._heard(self.shell.lkharness("check", "--cluster", self.file, **environment))

    def run(self, *words: str, **environment: str) -> int:
        where = ("--cluster", self.file, "--reports", self.reports)
        return self._heard(self.shell.pytest("-q", *where, *words, **environment))

    def _heard(self, done: subprocess.CompletedProcess[str]) -> int:
        self.said = done.stdout + done.stderr
        shown = {"the terminal": self.said.encode()}
        shown |= {str(p.relative_to(self.folder)): p.read_bytes() for p in self.reports.rglob("*") if p.is_file()}
        forms = {place: {form for c in (canary,) for form in (c, base64.b64encode(c.encode()).decode())} for place, canary in self.secrets}
        found = [(name, place) for name, raw in shown.items() for place, of in forms.items() if any(f.encode() in raw for f in of)]
        assert not found, found
        assert "Traceback" not in self.said, self.said
        return done.returncode

    @property
    def secrets(self) -> list[tuple[str, str]]:
        return [*CANARIES.items(), *self.known.items()]

    def uses_the_right_one(self) -> None:
        """Other tests have put it into a log, from where only a run that knows it can take it out."""
        self.known = {"right": self.right}


@pytest.fixture
def written(shell: Shell, tmp_path: Path) -> Written:
    return Written(shell, tmp_path)


def test_a_password_that_is_right(written: Written, shell: Shell):
    """By a command, and with it in the cluster manager's own log as well, which a run collects."""
    line = f"echo \"$(tail -n 1 /var/log/lifekeeper.log | cut -d' ' -f1-4) lcm[7]: opened with {written.right}\" >>/var/log/lifekeeper.log"
    shell.inside("secrets", "lknode01", line)
    written.uses_the_right_one()
    (written.folder / "right").write_text(written.right + "\n")
    written.write({"password_command": ["cat", str(written.folder / "right")]})
    assert written.check() == 0
    assert written.run(PATHS) == 0, written.said
    assert "opened with [removed]" in (written.reports / "latest" / "evidence" / "lknode01-manager.log").read_text()


@pytest.fixture(scope="module")
def fenced(shell: Shell, tmp_path_factory: pytest.TempPathFactory) -> Written:
    """A measured run whose power command fails and says what it was given, while a secret comes into the manager's log again and again."""
    written = Written(shell, tmp_path_factory.mktemp("fenced"))
    written.uses_the_right_one()
    line = f"lcm[7]: opened with {written.right}"
    grows = f'stamp=$(tail -n 1 $log | cut -d" " -f1-4); for i in $(seq 80); do echo "$stamp {line}" >>$log; sleep 0.5; done'
    shell.inside("secrets", "lknode01", f"log=/var/log/lifekeeper.log setsid sh -c '{grows}' </dev/null >/dev/null 2>&1 &")
    said = 'echo "no such user with $2" >&2; exit 1'
    fence = ["sh", "-c", said, "fence", "--password", CANARIES["power"], f"--token={CANARIES['option']}"]
    written.write({"password_env": "MINE"}, power={"off": fence, "on": ["true"]})
    assert written.run(*POWER_LOSS, "--allow-disruption", MINE=written.right) in (1, 3, 4)
    return written


@pytest.mark.heavy
def test_a_log_line_that_comes_while_it_is_measured(fenced: Written):
    """The agents read the manager's log as it grows, and the report quotes it."""
    recordings = list((fenced.reports / "latest").resolve().glob("evidence/*/recording.jsonl"))
    assert any("opened with [removed]" in file.read_text() for file in recordings), "the log was not followed at all"


@pytest.mark.parametrize("source", ["file", pytest.param("variable", marks=pytest.mark.deep), "command"])
def test_a_password_that_is_wrong(written: Written, source: str):
    """The server's refusal is quoted, and what it refused is not."""
    (written.folder / "secret").write_text(CANARIES["file"] + "\n")
    settings = {
        "file": {"password_file": str(written.folder / "secret")},
        "variable": {"password_env": "MINE"},
        "command": {"password_command": f"echo '{CANARIES['command']}'"},
    }
    written.write(settings[source])
    # A run says it as often as anything can: of the audit, of the test, and in what all hosts told of each.
    done = written.run(PATHS, MINE=CANARIES["variable"]) if source == "command" else written.check(MINE=CANARIES["variable"])
    assert done == 1 and "PostgreSQL turned us away" in written.said


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (f"sh -c 'echo {CANARIES['echoed'][:14]}; exit 3' x '{CANARIES['option']}'", "`sh` exited 3; run it by hand"),
        # What is said of it is test_service_settings', too.
        pytest.param(f"nowhere/vault '{CANARIES['option']}'", "`nowhere/vault` cannot be started on this machine", marks=pytest.mark.deep),
    ],
    ids=["fails", "is not there"],
)
def test_a_command_that_fails_is_not_quoted(written: Written, line: str, sentence: str):
    written.write({"password_command": line})
    assert written.check() == 2 and sentence in written.said and "echo" not in written.said, written.said


def test_a_password_in_the_file_is_refused(written: Written):
    written.write({"password": CANARIES["inline"]})
    assert written.check() == 2 and "a password is not written into the cluster file" in written.said


def test_a_key_with_a_passphrase_is_refused(written: Written):
    key = written.folder / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", CANARIES["passphrase"], "-f", key], check=True)
    written.write({"password_env": "MINE"}, key=key)
    assert written.check(MINE="x") == 4 and "load it with ssh-add" in written.said


@pytest.mark.heavy
def test_words_of_a_power_command(fenced: Written):
    """The plan shows every command, but for what is secret in it; what a command that fails says is quoted without it."""
    assert "no such user with [removed]" in " ".join(fenced.said.split()), fenced.said
    assert fenced.run(*POWER_LOSS, "--dry-run", MINE=fenced.right) == 0, fenced.said
    assert "fence --password [removed] '--token=[removed]'" in fenced.said
