"""`lkharness init` as a newcomer has it, on a terminal and without one: one clear sentence, the right code, and nothing left behind."""

from __future__ import annotations

import os
import pty
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from command_shell import one_sentence

from harness.config import cluster_config
from harness.core.deadline import Deadline
from tests.e2e import forked_commands

REPOSITORY = Path(__file__).resolve().parents[2]
NEEDED = [
    *("--client", "lkclient=10.20.1.20", "--node", "lknode01=10.20.1.11,10.20.2.11", "--node", "lknode02=10.20.1.12,10.20.2.12"),
    *("--frontend", "10.20.1.200", "--service", "listener=oracle:1521:listener-1521"),
]
ANSWERS = (
    ("the client", "lkclient=10.20.1.20"),
    ("node 1", "lknode01=10.20.1.11,10.20.2.11"),
    ("node 2", "lknode02=10.20.1.12,10.20.2.12"),
    ("frontend", "10.20.1.200"),
    ("service", "listener=oracle:1521:listener-1521"),
)
LEAST = ("unshare", "--user", "--map-user=65534") if os.geteuid() == 0 else ()  # root may write anywhere


def init(folder: Path, *words: object, before: tuple[str, ...] = (), said: str = "") -> subprocess.CompletedProcess[str]:
    line = [*before, sys.executable, "-m", "harness.cli", "init", *map(str, words)]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(line, cwd=folder, env=environment, input=said, capture_output=True, text=True, timeout=240)


def quickly(folder: Path, *words: object) -> subprocess.CompletedProcess[str]:
    """The same where nobody can answer: a process that is forked from one with its modules loaded."""
    return forked_commands.run(["-m", "harness.cli", "init", *map(str, words)], folder=folder, environment={**os.environ}, limit_s=240)


class Terminal:
    """A person at a terminal of `init`'s own, where Ctrl-C and Ctrl-D mean what they mean. Nothing waits for longer than PATIENCE_S."""

    PATIENCE_S = 120.0

    def __init__(self, folder: Path, *words: str, **environment: str) -> None:
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            os.environ.update(environment, PYTHONPATH=str(REPOSITORY))
            os.execv(sys.executable, [sys.executable, "-m", "harness.cli", "init", *words])
        self.seen = ""

    def _read(self, deadline: Deadline) -> bool:
        """Take what it says next; false when it has closed the terminal."""
        if not select.select([self._fd], [], [], deadline.remaining())[0]:
            os.kill(self.pid, signal.SIGKILL)
            pytest.fail(f"it waits for something; it said last: {self.seen!r}")
        try:
            more = os.read(self._fd, 4096)
        except OSError:  # how Linux says that nobody has the terminal open any more
            return False
        self.seen += more.decode(errors="replace")
        return bool(more)

    def until(self, words: str) -> None:
        deadline = Deadline(self.PATIENCE_S)
        while words not in self.seen and self._read(deadline):
            pass
        assert words in self.seen, self.seen
        self.seen = self.seen.partition(words)[2]

    def types(self, keys: bytes) -> None:
        os.write(self._fd, keys)

    def end(self) -> tuple[int, str]:
        """Its exit code, and what it said last."""
        deadline = Deadline(self.PATIENCE_S)
        while self._read(deadline):
            pass
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1]), self.seen.replace("\r\n", "\n")

    def close(self) -> None:
        os.close(self._fd)


@contextmanager
def terminal(folder: Path, *words: str, **environment: str) -> Iterator[Terminal]:
    one = Terminal(folder, *words, **environment)
    try:
        yield one
    finally:
        one.close()


def test_a_newcomer_answers_everything_once_wrong(tmp_path: Path) -> None:
    """Nothing at all, nonsense, bytes that are no text; then the right answer."""
    with terminal(tmp_path, "mine.toml") as person:
        for wrong in (b"\n", b"nonsense\n", b"a b=1.2.3.4\n", b"\xff\xfe\n"):
            for words, _ in ANSWERS[:1]:
                person.until(words)
            person.types(wrong)
        for words, answer in ANSWERS:
            person.until(words)
            person.types(answer.encode() + b"\n")
        code, said = person.end()
    assert code == 0 and "lkharness check --cluster mine.toml" in said and "Traceback" not in said
    assert cluster_config.load(tmp_path / "mine.toml").services[0].tag == "listener-1521"
    assert [p.name for p in tmp_path.iterdir()] == ["mine.toml"]


@pytest.mark.parametrize(
    ("key", "code", "words"), [(b"\x03", 130, "interrupted"), (b"\x04", 2, "nobody answered, and nothing was written")]
)
@pytest.mark.parametrize("answered", [0, 3])
def test_a_newcomer_gives_up(tmp_path: Path, key: bytes, code: int, words: str, answered: int) -> None:
    """Ctrl-C and Ctrl-D, at the first question and at a later one."""
    with terminal(tmp_path, "mine.toml") as person:
        for question, answer in ANSWERS[:answered]:
            person.until(question)
            person.types(answer.encode() + b"\n")
        person.until(f"{ANSWERS[answered][0]}")
        person.until(": ")
        person.types(key)
        ended, said = person.end()
    assert ended == code, said
    assert said.splitlines()[-1].startswith("lkharness: ") and words in said and "Traceback" not in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler, to send Ctrl-C at one moment that is too short to hit by hand")
def test_ctrl_c_just_before_it_waits_is_not_lost(tmp_path: Path) -> None:
    """After the last look at signals and before the wait, Ctrl-C interrupts nothing: only a wait that knows of it ends."""
    library = tmp_path / "early_interrupt.so"
    source = Path(__file__).with_name("early_interrupt.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True)
    (folder := tmp_path / "empty").mkdir()
    with terminal(folder, "mine.toml", LD_PRELOAD=str(library)) as person:
        ended, said = person.end()
    assert ended == 130 and said.splitlines()[-1].startswith("lkharness: interrupted"), said
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("said", ["", "\n\n\n", "lkclient=10.20.1.20\n"])
def test_nobody_at_a_pipe_is_asked(tmp_path: Path, said: str) -> None:
    assert "not given: --client" in one_sentence(init(tmp_path, said=said), 2)
    assert list(tmp_path.iterdir()) == []


def test_without_any_standard_input(tmp_path: Path) -> None:
    assert "not given" in one_sentence(init(tmp_path, before=("sh", "-c", 'exec "$@" <&-', "sh")), 2)


def test_by_options_alone(tmp_path: Path) -> None:
    done = init(tmp_path, *NEEDED)
    assert done.returncode == 0 and not done.stderr, done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["cluster.toml"] and cluster_config.load(tmp_path / "cluster.toml").name == "customer"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--frontend", ""], "not given: --frontend;"),
        (["--client", ""], "not given: --client;"),
        (["--client", "-x=10.0.0.4"], "is no host's name"),
        (["--service", "x=y"], "does not name a service"),
        (["--node", "third=10.20.1.13,10.20.2.13"], "--node was given 3 times"),
        (["--probe-port", "x"], "--probe-port"),
        (["--probe-port", "0"], "1 fault"),
        (["--design", "other"], "--design"),
        (["--jump", "nobody"], "2 faults"),
        (["--user", os.fsdecode(b"\xff")], "no text"),
    ],
)
def test_wrong_options(tmp_path: Path, words: list[str], says: str) -> None:
    given = [*NEEDED, "--client=-x=10.0.0.4"] if "-x=10.0.0.4" in words else [*NEEDED, *words]
    done = quickly(tmp_path, *given, "mine.toml")
    line = next(x for x in done.stderr.splitlines() if x.startswith("lkharness: "))
    assert done.returncode == 2 and says in line and "Traceback" not in done.stderr, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_where_it_cannot_be_written(tmp_path: Path) -> None:
    """A file that is there, a link into nothing, folders: nobody is asked anything first, and nothing is touched."""
    (tmp_path / "mine.toml").write_text("mine")
    (tmp_path / "link.toml").symlink_to(tmp_path / "nowhere")
    (tmp_path / "folder").mkdir()
    before = sorted(p.name for p in tmp_path.iterdir())
    assert "--force" in one_sentence(quickly(tmp_path, "mine.toml"), 2)
    assert "--force" in one_sentence(quickly(tmp_path, *NEEDED, "link.toml"), 2)
    assert "is a folder" in one_sentence(quickly(tmp_path, *NEEDED, "--force", "folder"), 2)
    assert "is a folder" in one_sentence(quickly(tmp_path, *NEEDED, ""), 2)
    assert "there is no folder" in one_sentence(quickly(tmp_path, *NEEDED, "nowhere/mine.toml"), 4)
    assert "cannot be written" in one_sentence(quickly(tmp_path, *NEEDED, "mine.toml/mine.toml"), 4)
    assert "too long" in one_sentence(quickly(tmp_path, *NEEDED, "a" * 300), 4)
    assert "cannot be written" in one_sentence(quickly(tmp_path, *NEEDED, "/proc/mine.toml"), 4)
    assert sorted(p.name for p in tmp_path.iterdir()) == before and (tmp_path / "mine.toml").read_text() == "mine"


def test_a_folder_of_somebody_elses(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    if LEAST and subprocess.run([*LEAST, "true"], check=False, capture_output=True).returncode:
        pytest.skip("root may write anywhere, and being somebody else is not possible here")
    assert "not yours to write to" in one_sentence(init(tmp_path, *NEEDED, closed / "mine.toml", before=LEAST), 4)
    assert list(closed.iterdir()) == []
