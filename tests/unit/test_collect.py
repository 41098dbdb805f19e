"""Evidence for support, the pure parts: secrets, limits, the archive, the page, the time window, and the shape of a lab."""

from __future__ import annotations

import argparse
import base64
import io
import json
import re
import tarfile
import time
from pathlib import Path
from typing import Any, get_args
from urllib.parse import quote

import pytest

from harness.collect.bundle import Bundle, read, truncate
from harness.collect.collectors import line_for, of_machine, table
from harness.collect.index_html import page_of
from harness.collect.known_secrets import known_secrets, without_secrets
from harness.collect.lab_from_bundle import ANY, Binding, Vip, shape_of
from harness.commands.collect import span_of
from harness.config import cluster_config
from harness.config.azure_config import Credential
from harness.core.errors import BadUse, Unusable
from harness.core.redaction.redactor import REMOVED, Redactor
from harness.lab.lifecycle import default_cluster

CANARY = "ka/na+ri 'enn€vogel\"7"


@pytest.mark.parametrize(
    "form", [CANARY, quote(CANARY, safe=""), base64.b64encode(CANARY.encode()).decode(), json.dumps(CANARY), CANARY.encode().hex()]
)
def test_a_known_secret_goes_in_every_form(form: str) -> None:
    cleaned = Redactor([CANARY]).clean(f"before {form} after")
    assert form.strip('"') not in cleaned and cleaned.startswith("before ") and cleaned.endswith(" after")


def test_a_secret_that_contains_another_leaves_nothing() -> None:
    assert "tail" not in Redactor(["abcd", "abcd-tail"]).clean("x abcd-tail y")


def test_what_was_seen_before_is_cleaned_and_counted_again() -> None:
    redactor = Redactor(["abcd"])
    said = [redactor.clean(text) for text in ("an address", "x abcd y", "an address", "x abcd y", "password=hunter2", "password=hunter2")]
    assert said == ["an address", f"x {REMOVED} y"] * 2 + [f"password={REMOVED}"] * 2 and redactor.removed == 4


def test_a_short_secret_does_not_shred_the_text() -> None:
    assert Redactor(["ab"]).clean("cab ab table") == f"cab {REMOVED} table"


@pytest.mark.parametrize(
    "line",
    [
        "PGPASSWORD=CANARY psql",
        "mysql --password CANARY -h db",
        "mysql --password=CANARY",
        'connect "Server=db;User Id=sa;Password=CANARY;Encrypt=yes"',
        "postgresql://harness:CANARY@10.20.1.200/harness",
        "sqlplus scott/CANARY@//10.20.1.200:1521/orcl",
        "Authorization: Bearer CANARY",
        "Authorization: Basic CANARY",
        '"api_key": "CANARY",',
        "DefaultEndpointsProtocol=https;AccountName=x;AccountKey=CANARY==;EndpointSuffix=y",
        "https://x.blob/y?sv=2020&sig=CANARY&se=1",
        "ALTER USER x IDENTIFIED BY CANARY",
        "CREATE ROLE x PASSWORD 'CANARY one'",
        '<nvpair id="a" name="passwd" value="CANARY"/>',
        "client_secret: CANARY",
        "-----BEGIN OPENSSH PRIVATE KEY-----\nCANARY\nCANARY\n-----END OPENSSH PRIVATE KEY-----",
        "-----BEGIN RSA PRIVATE KEY-----\nCANARY cut off here",
        "eyJhbGciOiJI.CANARYCANARY.CANARYCANARY",
    ],
)
def test_what_looks_like_a_secret_goes_unknown(line: str) -> None:
    assert "CANARY" not in Redactor().clean(f"a line before\n{line}\n") and "a line before" in Redactor().clean(f"a line before\n{line}\n")


@pytest.mark.parametrize(
    "line",
    [
        "    token: 5000\n",
        "password_file = /root/pw\n",
        "10.20.1.11:1521 LISTEN",
        "net.ipv4.tcp_timestamps = 1",
        "restore action has passed: 3",
    ],
)
def test_what_is_no_secret_stays(line: str) -> None:
    assert Redactor().clean(line) == line


@pytest.mark.parametrize("text", ["a" * 200_000, "a-" * 100_000, "pass" * 50_000, "password " * 20_000, "A" * 60 + "\n", "://" * 60_000])
def test_no_text_keeps_a_pattern_busy(text: str) -> None:
    began = time.monotonic()
    Redactor([CANARY]).clean(text)
    assert time.monotonic() - began < 20


def test_every_limit_cuts_at_whole_lines() -> None:
    """Half a secret at an edge would not be known for one."""
    text = "first secret-canary\n" * 3
    for most in range(1, len(text)):
        for newest in (False, True):
            kept, note = truncate(text, most, newest=newest)
            assert len(kept) <= most and set(kept.splitlines()) <= {"first secret-canary"} and "limit" in note
    assert truncate(text, len(text)) == (text, "")


def cluster_and_data(tmp_path: Path, **over: Any) -> tuple[cluster_config.Cluster, dict[str, Any]]:
    data = default_cluster.cluster_data(overrides=over)
    return cluster_config.parse(data, tmp_path / "cluster.toml"), data


def test_everything_the_cluster_file_leads_to_is_known(tmp_path: Path) -> None:
    (tmp_path / "pw").write_text("canary-file\n")
    (tmp_path / "id").write_text("-----BEGIN OPENSSH PRIVATE KEY-----\ncanary-key\n-----END OPENSSH PRIVATE KEY-----\n")
    services = [
        {"name": "a", "kind": "postgres", "port": 5432, "tag": "a", "settings": {"password_file": "pw"}},
        {"name": "b", "kind": "postgres", "port": 5433, "tag": "b", "settings": {"password_env": "MINE", "password": "canary-inline"}},
        {"name": "c", "kind": "postgres", "port": 5434, "tag": "c", "settings": {"password_file": "absent"}},
    ]
    client = {"name": "lkclient", "address": "10.20.1.20", "ssh": {"key": "id"}}
    power = {"off": ["fence", "--password", "canary-power", "{node}"], "on": ["fence", "{node}"]}
    cluster, data = cluster_and_data(tmp_path, services=services, client=client, power=power)
    known, notes = known_secrets(cluster, data, {"MINE": "canary-env", "AZURE_CLIENT_SECRET": "canary-stray", "HOME": "/root"})
    assert {"canary-file", "canary-key", "canary-inline", "canary-env", "canary-stray", "canary-power"} <= known and "/root" not in known
    assert len(notes) == 1 and "absent" in notes[0]
    clean = json.dumps(without_secrets(data, Redactor(known)))
    assert "canary" not in clean and '"password_file": "pw"' in clean and '"fence"' in clean


@pytest.mark.parametrize("kind", get_args(Credential))
def test_how_one_logs_in_to_azure_is_no_secret_and_the_file_can_be_read_again(kind: str, tmp_path: Path) -> None:
    how = {"credential": kind, "tenant": "t", "client_id": "c", "client_secret_file": "azure/client-secret"}
    azure = {
        "subscription": "s",
        "resource_group": "g",
        "load_balancer": "ilb",
        **(how if kind == "client-secret" else {"credential": kind}),
    }
    clean = without_secrets({**default_cluster.cluster_data(), "azure": azure}, Redactor(set()))
    again = cluster_config.parse(Redactor(set()).clean_data(clean), Path("bundle"), only_looked_at=True)
    assert again.azure is not None and again.azure.credential == kind
    assert Redactor(set()).clean_data({"credential": "0nEofth3m!"}) == {"credential": REMOVED}
    assert kind not in known_secrets(*cluster_and_data(tmp_path, azure=azure), {})[0]  # or it would be taken out wherever it stands
    as_text = json.loads(Redactor(set()).clean(json.dumps(clean, indent=2)))  # as it stands in the bundle
    assert as_text["azure"]["credential"] == kind
    for text in ('credential = "0nEofth3m!"', 'my_credential = "cli"', '"credentials": "cli"'):
        assert REMOVED in Redactor(set()).clean(text)


def test_the_archive_is_whole_private_and_clean(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "b.tar.gz"
    with Bundle(path, Redactor([CANARY]), max_text_bytes=1000) as bundle:
        assert bundle.text("hosts/a.txt", f"x {CANARY} y") == len(f"x {REMOVED} y")
        assert bundle.text("hosts/large.txt", "x" * 2000) is None
        bundle.data("index.json", {"format": 1, "why": [CANARY]})
        bundle.data("cluster.json", {"password": 5})
    assert path.stat().st_mode & 0o77 == 0 and [p.name for p in path.parent.iterdir()] == ["b.tar.gz"]
    assert read(path) == ({"format": 1, "why": [REMOVED]}, {"password": REMOVED})


def test_an_archive_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyError), Bundle(tmp_path / "b.tar.gz", Redactor()):
        raise KeyError
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(Unusable, match="--output"), Bundle(Path("/proc/none/b.tar.gz"), Redactor()):
        pass


def test_an_archive_that_is_interrupted_as_it_begins_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        assert len(list(tmp_path.iterdir())) == 1
        raise KeyboardInterrupt

    monkeypatch.setattr(tarfile, "open", interrupted)
    with pytest.raises(KeyboardInterrupt), Bundle(tmp_path / "b.tar.gz", Redactor()):
        pass
    assert list(tmp_path.iterdir()) == []


def made(tmp_path: Path, **members: bytes) -> Path:
    path = tmp_path / "made.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for name, raw in members.items():
            entry = tarfile.TarInfo(f"b/{name.replace('_', '.')}")
            entry.size = len(raw)
            tar.addfile(entry, io.BytesIO(raw))
    return path


def test_what_is_no_bundle_is_said_to_be_none(tmp_path: Path) -> None:
    whole = made(tmp_path, index_json=b'{"format": 1}', cluster_json=b"{}").read_bytes()
    for number in range(len(whole)):
        (tmp_path / "cut.tar.gz").write_bytes(whole[:number])
        try:
            read(tmp_path / "cut.tar.gz")
        except BadUse as error:
            assert "bundle" in str(error)
    for members in ({}, {"index_json": b"[]"}, {"index_json": b"[" * 100_000}, {"index_json": b'{"format": 9}', "cluster_json": b"{}"}):
        with pytest.raises(BadUse, match="bundle"):
            read(made(tmp_path, **members))
    with pytest.raises(BadUse, match="cannot be read"):
        read(tmp_path / "absent.tar.gz")


def test_no_row_asks_for_arguments_or_environments() -> None:
    for row in table():
        assert not any(word in row.line for word in ("args", "cmdline", "environ", "CommandLine", "pgrep", "ps aux", "systemctl status")), (
            row.name
        )


def test_each_row_is_bounded_on_the_host(tmp_path: Path) -> None:
    cluster, _ = cluster_and_data(tmp_path)
    for machine in cluster.machines:
        for row in of_machine(cluster, machine):
            assert f"-c {row.most + 1}" in line_for(row, cluster, 0.0, 1.0) and row.seconds <= 20
    assert not {r.name for r in of_machine(cluster, cluster.client)} & {"lifekeeper-status", "pacemaker-status"}


def test_the_page_shows_what_hosts_say_as_text() -> None:
    evil = "<script>alert(1)</script>\x1b[2J"
    host = {"name": evil, "address": "a", "reached": False, "why": evil, "files": [], "faults": [{"name": evil, "why": evil}], "facts": {}}
    taken = {"begin": 0.0, "end": 1.0}
    index = {
        "cluster": evil,
        "harness": "1",
        "taken": taken,
        "window": taken,
        "manager": {"kind": "x"},
        "notes": [evil],
        "secrets_removed": 0,
    }
    page = page_of({**index, "hosts": [host]})
    assert "<script" not in page and "\x1b" not in page and "http" not in page and "not reached" in page.lower()


def given(**over: Any) -> argparse.Namespace:
    return argparse.Namespace(**{"since": None, "begin": None, "end": None, "capture": 0.0, **over})


def test_the_time_window() -> None:
    assert span_of(given(), 10_000.0).begin == 10_000.0 - 1800
    assert span_of(given(since="2h"), 10_000.0).begin == 10_000.0 - 7200
    span = span_of(given(begin="1970-01-01T01:00:00+00:00", end="1970-01-01T02:00:00+00:00"), 0.0)
    assert (span.begin, span.end) == (3600.0, 7200.0)


@pytest.mark.parametrize(
    "over", [{"since": "soon"}, {"since": "0m"}, {"since": "1h", "begin": "1970-01-01"}, {"end": "1970-01-01"}, {"begin": "2999-01-01"}]
)
def test_a_window_that_is_none(over: dict[str, str]) -> None:
    with pytest.raises(BadUse):
        span_of(given(**over), 10_000.0)


def index_of(**facts: dict[str, Any]) -> dict[str, Any]:
    """A healthy bundle of the default cluster, with other facts of some hosts."""

    def address(interface: str, address: str, prefix: int = 24) -> dict[str, Any]:
        return {"interface": interface, "address": address, "prefix": prefix, "state": "UP"}

    def listener(port: int, at: str = ANY, process: str = "x") -> dict[str, Any]:
        return {"address": at, "port": port, "protocol": "tcp", "pid": 1, "process": process}

    healthy: dict[str, dict[str, Any]] = {
        "lkclient": {"addresses": [address("ens3", "10.20.1.20")], "listeners": [], "sysctls": {}},
        "lknode01": {
            "addresses": [address("ens3", "10.20.1.11"), address("ens4", "10.20.2.11"), address("ens4", "10.20.1.200", 32)],
            "listeners": [listener(port) for port in (1521, 5432, 80, 12345)],
            "sysctls": {},
        },
        "lknode02": {"addresses": [address("ens3", "10.20.1.12"), address("ens4", "10.20.2.12")], "listeners": [], "sysctls": {}},
    }
    hosts = [{"name": n, "reached": True, "facts": {**f, **facts.get(n, {})}} for n, f in healthy.items()]
    states = {n: {"running": True, "why": "", "resources": {}, "comm_paths": []} for n in ("lknode01", "lknode02")}
    return {"hosts": hosts, "manager": {"kind": "lifekeeper", "active": "lknode01", "nodes": states}}


def test_a_healthy_cluster_asks_for_nothing_special() -> None:
    shape = shape_of(index_of(), default_cluster.cluster_data(), {})
    assert (shape.active, shape.bindings, shape.vips, shape.cuts, shape.out, shape.needs_checks_off) == ("lknode01", [], [], [], [], False)
    cluster_config.parse({"name": "x", **shape.data}, Path("x"))


def test_faults_become_what_is_done_to_the_lab() -> None:
    index = index_of(lknode02={"listeners": [{"address": "*", "port": 12345, "protocol": "tcp", "pid": 1, "process": "sshd"}]})
    one = index["hosts"][1]["facts"]
    one["addresses"][2] = {"interface": "ens3", "address": "10.20.1.200", "prefix": 24, "state": "UP"}
    one["listeners"][0]["address"] = "10.20.1.200"
    one["sysctls"] = {"net.ipv4.conf.ens3.rp_filter": "1", "net.ipv4.conf.ens9.rp_filter": "1", "net.ipv4.tcp_timestamps": "1; reboot"}
    index["manager"]["nodes"]["lknode02"]["comm_paths"] = [{"peer": "lknode01", "addresses": "10.20.2.12/10.20.2.11", "alive": False}]
    shape = shape_of(index, default_cluster.cluster_data(), {})
    assert shape.vips == [Vip("lknode01", (("eth0", 24),))]
    assert shape.bindings == [
        Binding("lknode01", 1521, "listener", ("10.20.1.200",)),
        Binding("lknode02", 12345, None, (ANY,), sshd=True),
    ]
    assert shape.sysctls == {"lknode01": {"net.ipv4.conf.eth0.rp_filter": "1"}}
    assert set(shape.cuts) == {("10.20.2.12", "10.20.2.11"), ("10.20.2.11", "10.20.2.12")} and shape.needs_checks_off


def test_a_probe_of_sshd_itself_goes_to_another_port() -> None:
    sshd = [{"address": ANY, "port": 22, "protocol": "tcp", "pid": 1, "process": "sshd"}]
    index = index_of(lknode02={"listeners": sshd})
    shape = shape_of(index, default_cluster.cluster_data(overrides={"load_balancer": {"probe": {"port": 22}}}), {})
    assert shape.data["load_balancer"]["probe"]["port"] == 12345
    assert Binding("lknode02", 12345, None, (ANY,), sshd=True) in shape.bindings and any("22" in words for words in shape.differs)


def test_an_http_probe_of_pacemaker_becomes_tcp() -> None:
    """Which a lab with Pacemaker could not answer, and a person cannot change in a bundle."""
    given = {"load_balancer": {"probe": {"protocol": "http"}}, "manager": {"kind": "pacemaker"}}
    shape = shape_of(index_of(), default_cluster.cluster_data(overrides=given), {})
    assert shape.data["load_balancer"]["probe"]["protocol"] == "tcp" and any("HTTP" in words for words in shape.differs)


@pytest.mark.parametrize("hole", ["hosts", "manager"])
def test_a_bundle_with_holes_is_refused(hole: str) -> None:
    index = index_of()
    del index[hole]
    with pytest.raises(BadUse, match="cannot be made a lab of"):
        shape_of(index, default_cluster.cluster_data(), {})


def test_what_is_collected_from_linux_writes_no_history() -> None:
    """`nstat` without -s leaves its counters in /tmp/.nstat.u0 of the host."""
    cluster = cluster_config.parse(default_cluster.cluster_data(), Path("a test's"))
    lines = [line_for(row, cluster, 0.0, 0.0) for machine in cluster.machines for row in of_machine(cluster, machine)]
    words = [words for line in lines for words in re.findall(r"\bnstat( -\w+)", str(line))]
    assert words and all("s" in one for one in words), words
