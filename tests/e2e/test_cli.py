"""The command line: help with examples, exit codes that mean something, one sentence for a person, and the lab's verbs."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest
import tomli_w
from command_shell import Shell, Traces, one_sentence, shell_in

from harness.lab.lifecycle import default_cluster
from harness.lab.lifecycle.ssh_keys import make as make_key
from tests.notification_receiver import notification_receiver

CLIENT_PATH = "tests/acceptance/test_client_path.py"


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    with shell_in(tmp_path / "state") as one:
        yield one


SERVICES = {"first": ("database", "web"), "second": ("listener",)}  # of each lab


@pytest.fixture(scope="module")
def labs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """Two labs at once, of either design."""
    with shell_in(tmp_path_factory.mktemp("state")) as one:
        one.up("--name", "first", "--file", one.modest(*SERVICES["first"]))
        one.up("--name", "second", "--file", one.modest(*SERVICES["second"]), "--design", "floating")
        yield one


def test_help_from_a_shell(shell: Shell):
    """It tells the exit codes, and needs nothing but the command."""
    done = shell.lkharness("--help")
    assert done.returncode == 0 and not done.stderr
    assert all(
        text in done.stdout for text in ("exit codes: 0 all passed", "lab", "check", "doctor", "report", "example: lkharness lab up")
    )
    assert shell.lkharness("--version").stdout.startswith("lkharness ")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("", "COMMAND"),
        ("lab", "VERB"),
        ("nonsense", "nonsense"),
        ("lab up --colour blue", "--colour"),
        ("lab up --profile slow", "'slow'"),
        ("lab up --name ../elsewhere", "cannot be a lab's name"),
        ("lab up --name ..", "cannot be a lab's name"),
        ("lab up --file missing.toml", "missing.toml: cannot be read"),
        ("lab status", "there is none, start one with `lkharness lab up`"),
        ("lab status --name other", "no lab named 'other'"),
        ("lab down --name other", "no lab named 'other'"),
        ("lab exec lknode01 -- true", "lkharness lab up"),
        ("lab power sideways lknode01", "'sideways'"),
        ("check", "--cluster FILE"),
        ("check --cluster missing.toml", "missing.toml: cannot be read"),
        ("report missing", "missing"),
    ],
)
def test_bad_use(shell: Shell, words: str, says: str):
    """Exit 2 and one sentence that says what is wrong; nothing is made."""
    assert says in one_sentence(shell.lkharness(*words.split()), 2)
    assert shell.folders() == []


FAULTY = """
design = "bridge"
colour = "blue"
[client]
name = "lkclient"
address = "10.20.1"
[load_balancer.probe]
port = 70000
[lab]
profile = "slow"
shared_disk_mb = 1
[lab.unknowns]
icmp_on_ha_ports = "perhaps"
"""
PLACES = (
    "design",
    "colour",
    "client.address",
    "load_balancer.probe.port",
    "lab.profile",
    "lab.shared_disk_mb",
    "lab.unknowns.icmp_on_ha_ports",
)
ILL_FITTING = 'client = { name = "lknode01", address = "10.99.1.20" }\nip_resource = { address = "10.20.1.201" }\n'


@pytest.mark.parametrize(
    ("content", "found"),
    [(FAULTY, PLACES), (ILL_FITTING, ("lknode01 is used 2 times", "client.address: 10.99.1.20", "ip_resource.address: 10.20.1.201"))],
    ids=["values", "together"],
)
def test_a_faulty_file(shell: Shell, tmp_path: Path, content: str, found: tuple[str, ...]):
    """All of its faults with their places, under the name that the person gave it; exit 2, nothing made."""
    file = tmp_path / "mine.toml"
    file.write_text(content)
    done = shell.lkharness("lab", "up", "--file", file)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert done.stderr.startswith(f"lkharness: {file}: ")
    lines = [line.strip() for line in done.stderr.splitlines()]
    assert all(any(place in line for line in lines) for place in found), done.stderr
    assert shell.folders() == []


@pytest.mark.parametrize(
    "content", ["lab = 3", "services = 3", "nodes = [1, 2]", "load_balancer = []", "name = ", "[lab]\nprofile = [1]", "\udcff"]
)
def test_files_of_the_wrong_shape(shell: Shell, tmp_path: Path, content: str):
    """Whatever somebody writes in it: exit 2, never a traceback."""
    file = tmp_path / "mine.toml"
    file.write_bytes(content.encode(errors="surrogateescape"))
    done = shell.lkharness("lab", "up", "--file", file)
    assert done.returncode == 2 and done.stderr.startswith(f"lkharness: {file}: ") and "Traceback" not in done.stderr
    assert shell.folders() == []


STATUS = {
    "type": "object",
    "required": ["name", "pid", "design", "profile", "vip", "client", "nodes", "balancer", "shared_disk", "cluster_file"],
    "properties": {
        "pid": {"type": "integer"},
        "design": {"enum": ["nat", "floating"]},
        "nodes": {
            "minItems": 2,
            "maxItems": 2,
            "items": {
                "required": ["name", "address", "power", "role", "holds_vip_on"],
                "properties": {
                    "role": {"enum": ["active", "standby", "partly in service", "not in service", "off", "frozen"]},
                    "holds_vip_on": {"type": "array", "items": {"type": "string"}},
                },
            },
        },
        "balancer": {
            "minItems": 2,
            "maxItems": 2,
            "items": {
                "required": ["node", "address", "healthy", "reason"],
                "properties": {"healthy": {"type": "boolean"}, "reason": {"pattern": "^(Up|Down)_"}},
            },
        },
    },
}


@pytest.mark.parametrize(("name", "design"), [("first", "nat"), ("second", "floating")])
def test_status(labs: Shell, name: str, design: str):
    """Who is active, who holds the VIP, and what the balancer believes of each and why."""
    found = labs.status("--name", name)
    jsonschema.validate(found, STATUS)
    assert (found["name"], found["design"], found["vip"]) == (name, design, "10.20.1.200")
    assert [(n["role"], n["holds_vip_on"]) for n in found["nodes"]] == [("active", ["eth1"]), ("standby", [])]
    assert [(m["healthy"], m["reason"].split("_")[0]) for m in found["balancer"]] == [(True, "Up"), (False, "Down")]
    assert Path(f"/proc/{found['pid']}").exists()
    text = labs.lkharness("lab", "status", "--name", name).stdout
    assert "lknode01  active, holds 10.20.1.200 on eth1" in text and str(found["pid"]) in text


def test_two_at_once_need_a_name(labs: Shell):
    """Neither is chosen for a person; both are named."""
    line = one_sentence(labs.lkharness("lab", "status"), 2)
    assert "--name" in line and "first (running)" in line and "second (running)" in line


@pytest.fixture(scope="module", params=["first", "second"])
def checked(labs: Shell, request: pytest.FixtureRequest) -> tuple[dict, tuple[str, ...]]:
    """What `check` says of one of them while both are healthy, and its services."""
    done = labs.lkharness("check", "--json", "--cluster", labs.labs / request.param / "cluster.toml")
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout), SERVICES[request.param]


def test_check(checked: tuple[dict, tuple[str, ...]]):
    """Every path of both labs at once is right: they do not disturb each other."""
    found, services = checked
    assert {(p["path"], p["service"]) for p in found["paths"]} == {(o, s) for o in ("client", "inside", "standby") for s in services}
    assert all(p["outcome"] == "pass" and p["identity"] for p in found["paths"])


def test_a_healthy_lab_has_no_finding(checked: tuple[dict, tuple[str, ...]]):
    """In either design."""
    found, _ = checked
    assert (found["outcome"], found["findings"]) == ("pass", [])


def test_a_name_in_use(labs: Shell):
    """A second `lab up` of the same name is refused, and the first is as it was."""
    before = labs.status("--name", "first")
    assert "is running already" in one_sentence(labs.lkharness("lab", "up", "--name", "first"), 2)
    after = labs.status("--name", "first")
    assert (after["pid"], after["nodes"]) == (before["pid"], before["nodes"])


@pytest.mark.parametrize("verb", ["exec", "ssh"])
def test_into_a_host(labs: Shell, verb: str):
    """A command's output and exit code come through, from inside that very host."""

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return labs.lkharness("lab", verb, "--name", "first", *words)

    assert run("lknode02", "hostname").stdout.strip() == "lknode02"
    assert "10.20.1.11/24" in run("lknode01", "--", "ip", "addr", "show", "eth0").stdout
    assert run("lkclient", "--", "false").returncode == 1
    line = one_sentence(run("lknode03", "--", "true"), 2)
    assert "lkclient, lknode01, lknode02" in line


def test_power(labs: Shell):
    """A node without power is said to be off everywhere, and comes back as standby."""

    def lab(verb: str, *words: str) -> subprocess.CompletedProcess[str]:
        return labs.lkharness("lab", verb, "--name", "second", *words)

    said, moment = lab("power", "off", "lknode02").stdout.splitlines()
    assert said == "lknode02 is off" and re.fullmatch(r"moment \d+\.\d+ \d+\.\d+", moment)
    off = labs.status("--name", "second")["nodes"][1]
    assert (off["power"], off["role"], off["holds_vip_on"]) == ("off", "off", [])
    assert "lkharness lab power on lknode02" in one_sentence(lab("exec", "lknode02", "--", "true"), 2)
    checked = labs.lkharness("check", "--cluster", labs.labs / "second" / "cluster.toml")
    assert checked.returncode == 4 and "lknode02" in checked.stderr and "pass          client" in checked.stdout
    assert lab("power", "on", "lknode02").stdout.strip() == "lknode02 is on"
    assert "there is no host 'lknode09'" in one_sentence(lab("power", "off", "lknode09"), 2)


def _with(labs: Shell, folder: Path, change) -> Path:
    """The first lab's cluster file, changed, with its keys beside it."""
    original = labs.labs / "first"
    data = tomllib.loads((original / "cluster.toml").read_text())
    known = (original / "known_hosts").read_text()
    for machine in [data["client"], *data["nodes"]]:
        machine["ssh"].update(key=str(original / "keys/login"), known_hosts=str(folder / "known_hosts"), connect_limit_s=1.0)
    (folder / "known_hosts").write_text(change(data, known) or known)
    file = folder / "cluster.toml"
    file.write_text(tomli_w.dumps(data))
    assert labs.lkharness("trust", "--yes", file).returncode == 0
    return file


@pytest.fixture
def wrong_key(labs: Shell, tmp_path: Path) -> tuple[Path, str, int]:
    def change(data, known: str) -> str:
        other = make_key(tmp_path, "other").split()[1]
        return "".join(f"{' '.join([*line.split()[:2], other])}\n" for line in known.splitlines())

    return _with(labs, tmp_path, change), "another machine answers there or the host was reinstalled", 4


@pytest.fixture
def closed_port(labs: Shell, tmp_path: Path) -> Iterator[tuple[Path, str, int]]:
    with socket.socket() as held:  # bound and not listening: refused for as long as the test runs
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]

        def change(data, known: str) -> str:
            key = known.split()[2]
            data["nodes"][1]["ssh"]["port"] = port
            return f"{known}[127.0.0.1]:{port} ssh-ed25519 {key}\n"

        yield _with(labs, tmp_path, change), f"lknode02: 127.0.0.1:{port} refused the connection", 4


@pytest.fixture
def silent_port(labs: Shell, tmp_path: Path) -> Iterator[tuple[Path, str, int]]:
    with socket.create_server(("127.0.0.1", 0)) as mute:  # takes the connection and never says a word
        port = mute.getsockname()[1]

        def change(data, known: str) -> str:
            data["client"]["ssh"]["port"] = port
            return f"{known}[127.0.0.1]:{port} ssh-ed25519 {known.split()[2]}\n"

        yield _with(labs, tmp_path, change), "did not complete SSH's greeting", 4


@pytest.fixture
def missing_file(tmp_path: Path) -> tuple[Path, str, int]:
    return tmp_path / "none.toml", "none.toml: cannot be read (No such file or directory)", 2


@pytest.fixture
def faulty_file(tmp_path: Path) -> tuple[Path, str, int]:
    (tmp_path / "bad.toml").write_text(tomli_w.dumps(default_cluster.merge_tables(default_cluster.DEFAULT_CLUSTER, {"design": "bridge"})))
    return tmp_path / "bad.toml", "design: ", 2


CASES = ["wrong_key", "closed_port", "silent_port", "missing_file", "faulty_file"]


@pytest.mark.parametrize("case", [pytest.param(c, marks=pytest.mark.deep if c == "silent_port" else ()) for c in CASES])
def test_check_a_cluster_that_cannot_be_used(labs: Shell, case: str, request: pytest.FixtureRequest):
    """One clear sentence, and exit 4 for the environment or 2 for the file; where a node can be reached, the rest is judged."""
    file, says, code = request.getfixturevalue(case)
    done = labs.lkharness("check", "--cluster", file)
    assert done.returncode == code and done.stderr.startswith("lkharness: ") and says in done.stderr
    assert ("Traceback" not in done.stderr and done.stderr.count("\n") == done.stderr.count("lkharness: ")) or code == 2
    assert bool(done.stdout) is (case in ("closed_port", "silent_port"))


# A port that says nothing is the same to the suite as one that refuses, and both ways of a bad file are.
@pytest.mark.parametrize("case", [pytest.param(c, marks=pytest.mark.deep if c in ("silent_port", "faulty_file") else ()) for c in CASES])
def test_attach_to_a_cluster_that_cannot_be_used(labs: Shell, case: str, tmp_path: Path, request: pytest.FixtureRequest):
    """The same for the suite; where the file was good there is a report that says why nothing was tested, and it is notified."""
    file, says, code = request.getfixturevalue(case)
    receivers = tmp_path / "receivers"
    with notification_receiver() as (port, received):
        receivers.write_text(f"json://127.0.0.1:{port}/\n")
        receivers.chmod(0o600)
        words = (CLIENT_PATH, "-q", "--cluster", file, "--reports", tmp_path / "reports", "--notify", receivers)
        words = (*words, "--run-file", tmp_path / "tonight")
        done = labs.pytest(*words, GITHUB_ACTIONS="true")
    said = done.stdout + done.stderr
    assert done.returncode == code, said
    assert says in said and "Traceback" not in said and "INTERNALERROR" not in said
    assert "last seen" not in said, "what cannot be reached is not waited for"
    if code == 4:
        record = json.loads((tmp_path / "reports/latest/run.json").read_text())
        assert (record["state"], record["exit_code"]) == ("unusable", 4) and says in record["verdict"]["reason"]
        assert (tmp_path / "reports/latest/report.html").stat().st_size
        assert "\n::error title=the run::the environment was not usable" in done.stdout
        assert (tmp_path / "tonight").read_text() == f"{(tmp_path / 'reports/latest').resolve()}\n"
    else:
        assert not (tmp_path / "tonight").exists(), "no run began"
    titles = [notification["title"] for notification in received]
    assert titles == ([f"lkharness: {record['cluster']['name']}: not usable"] if code == 4 else [])
    assert all("so that no test was begun: " in notification["message"] for notification in received)


def test_clean_removes_the_dead_only(labs: Shell):
    """The folder of a killed lab and the log of one that never came up go; living labs and whatever else lies there stay."""
    dead = Traces(labs, labs.up("--name", "dead", "--file", labs.modest("listener"))["pid"], "dead")
    assert len(dead.pids) > 15 and len(dead.ports) == 3, "the lab was in service"
    dead.kill()
    dead.gone()
    status = labs.lkharness("lab", "status", "--name", "dead")
    assert status.returncode == 4 and "is not running" in status.stderr
    (labs.labs / "broken.failed.log").write_text("its last words\n")
    (labs.labs / "notes.txt").write_text("somebody's own\n")
    (labs.labs / "unfinished").mkdir()
    done = labs.lkharness("lab", "clean")
    assert done.returncode == 0 and "'dead'" in done.stdout and "first" not in done.stdout
    assert labs.folders() == ["first", "notes.txt", "second"]
    assert labs.status("--name", "first")["nodes"][0]["role"] == "active"


def test_down_takes_one_and_leaves_the_others(labs: Shell):
    """`lab down` ends its lab without a trace; `lab clean` has nothing of the living ones to remove. The last that needs the second."""
    before = labs.folders()
    traces = Traces(labs, labs.status("--name", "second")["pid"], "second")
    assert len(traces.ports) == 3
    assert labs.lkharness("lab", "down", "--name", "second").stdout.strip() == "the lab 'second' is down"
    assert not traces.left() and labs.folders() == [name for name in before if name != "second"]
    assert "nothing to clean" in labs.lkharness("lab", "clean").stdout
    assert labs.status("--name", "first")["nodes"][0]["role"] == "active"


def test_doctor(shell: Shell):
    """This machine carries labs, and says so finding by finding."""
    done = shell.lkharness("doctor", "--json")
    findings = json.loads(done.stdout)["findings"]
    assert done.returncode == 0 and all(f["ok"] for f in findings)
    assert all({"what", "message", "fix"} <= f.keys() for f in findings)
    said = json.loads(done.stdout)
    machines = {f["what"] for f in said["machine_checks"]}
    assert {"QEMU", "/dev/net/tun", "machine disk of the image pacemaker"} <= machines and said["container_checks"]
