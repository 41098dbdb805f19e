"""A node that says secrets, and what a terminal would obey, wherever it is asked: nothing of it gets into a file or onto the terminal."""

from __future__ import annotations

import contextlib
import threading
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import tomli_w
from command_shell import Shell, processes, shell_in

from tests.secret_encoding_cases import found_in, lines_of

PLACEMENT = "tests/acceptance/test_placement.py::test_one_active_node"
KNOWN, UNKNOWN = "canary-known-7Qz&4%x", "canary-unknown-7Qz"
LOGGED = "said as"
# OSC 52 (the clipboard), a cleared screen, a green word, hidden text; in octal for printf
SAYS = rf"\033]52;c;aGk=\007\033[2J\033[32mpass\033[8m refused {KNOWN.replace('%', '%%')} password={UNKNOWN}"


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    with shell_in(tmp_path_factory.mktemp("state")) as one:
        one.up("--name", "telltale", "--file", one.modest("listener"))
        yield one


@pytest.fixture(scope="module")
def file(shell: Shell, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cluster file of a lab, one node of which tells everything when its manager is asked."""
    folder, lab = tmp_path_factory.mktemp("file"), shell.labs / "telltale"
    script = folder / "lcdstatus"
    script.write_text(f"#!/bin/sh\nprintf '{SAYS}\\n' >&2\nexit 3\n")
    copied = f"cat >/opt/LifeKeeper/bin/lcdstatus <<'END'\n{script.read_text()}END\nchmod 755 /opt/LifeKeeper/bin/lcdstatus"
    lines = "".join(f"lcm[7]: {LOGGED} {name}: {text}\n" for name, text in lines_of(KNOWN).items())
    stamped = "stamp=$(tail -n 1 $log | cut -d' ' -f1-4); while read -r line; do printf '%s %s\\n' \"$stamp\" \"$line\"; done"
    logged = f"{stamped} >>$log <<'END'\n{lines}END"
    for host, line in (("lknode02", copied), ("lknode01", f"log=/var/log/lifekeeper.log; {logged}")):
        shell.inside("telltale", host, line)
    data = tomllib.loads((lab / "cluster.toml").read_text())
    for machine in (data["client"], *data["nodes"]):
        machine["ssh"] |= {"key": str(lab / "keys/login"), "known_hosts": str(lab / "known_hosts")}
    made = folder / "cluster.toml"
    made.write_text(tomli_w.dumps(data))
    assert shell.lkharness("trust", "--yes", made).returncode == 0
    return made


@pytest.fixture(autouse=True)
def arguments() -> Iterator[None]:
    """Everybody may read those of every process: the value is in none of them, in no encoding, as long as a test lasts."""
    over, seen, clear = threading.Event(), set[str](), set[bytes]()

    def look() -> None:
        while not over.wait(0.3):
            for pid in processes():
                with contextlib.suppress(OSError):
                    if (line := Path(f"/proc/{pid}/cmdline").read_bytes()) not in clear:  # most are the same as at the last look
                        seen.update(f"{pid} {name}" for name in found_in(line, KNOWN))
                        clear.add(line)

    watcher = threading.Thread(target=look)
    watcher.start()
    yield
    over.set()
    watcher.join()
    assert not seen


def clean(said: str) -> None:
    assert "refused [removed] password=[removed]" in " ".join(said.split()), said
    assert not [one for one in (KNOWN, UNKNOWN, "\x1b]52", "\x1b[2J", "\x1b[8m") if one in said]


@pytest.mark.parametrize("more", [(), ("--json",)])
def test_check_says_it_without(shell: Shell, file: Path, more: tuple[str, ...]):
    done = shell.lkharness("check", "--cluster", file, *more, SOME_API_TOKEN=KNOWN)
    clean(done.stdout + done.stderr)


@pytest.mark.heavy
def test_no_file_of_a_run_has_it(shell: Shell, file: Path, tmp_path: Path):
    done = shell.pytest(PLACEMENT, "-v", "--color=no", "--cluster", file, "--reports", tmp_path, SOME_API_TOKEN=KNOWN)
    assert not [one for one in (KNOWN, UNKNOWN, "\x1b]52") if one in done.stdout + done.stderr]
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    leaks = [(str(path), one) for path, raw in files.items() for one in (KNOWN, UNKNOWN, "\x1b]52") if one.encode() in raw]
    assert len(files) >= 4 and not leaks
    encoded = {str(path): found for path, raw in files.items() if (found := found_in(raw, KNOWN))}
    assert not encoded and not found_in((done.stdout + done.stderr).encode(), KNOWN), encoded
    logs = [raw.decode() for path, raw in files.items() if path.name == "lknode01-manager.log"]
    assert logs and logs[0].count(LOGGED) == len(lines_of(KNOWN)) >= 40, "the log with all encodings was not collected"
    assert any(b"refused [removed] password=[removed]" in raw for raw in files.values()), "nobody quoted the node at all"


@pytest.mark.heavy
def test_no_bundle_has_it(shell: Shell, file: Path, tmp_path: Path):
    import tarfile

    done = shell.lkharness("collect", "--cluster", file, "--output", tmp_path / "b.tar.gz", SOME_API_TOKEN=KNOWN)
    assert not [one for one in (KNOWN, UNKNOWN, "\x1b") if one in done.stdout + done.stderr]
    with tarfile.open(tmp_path / "b.tar.gz") as tar:
        inside = {m.name: tar.extractfile(m).read() for m in tar if m.isfile()}  # type: ignore[union-attr]
    assert not [(name, one) for name, raw in inside.items() for one in (KNOWN, UNKNOWN) if one.encode() in raw]
    assert any(b"refused [removed] password=[removed]" in raw for raw in inside.values())
    assert not {name: found for name, raw in inside.items() if (found := found_in(raw, KNOWN))}
    assert max(raw.count(LOGGED.encode()) for raw in inside.values()) >= 40, "the log with all encodings was not collected"
