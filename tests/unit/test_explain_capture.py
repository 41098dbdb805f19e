"""`lkharness explain CAPTURE`: which wire codes, and which cause, from captures that anybody may have made."""

from __future__ import annotations

import json
import os
import random
import struct
from pathlib import Path

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Dot1Q, Ether
from scapy.utils import wrpcap

from harness.cli import main
from harness.config.cluster_config import parse
from harness.core.errors import BadUse
from harness.explain.capture_explanation import CaptureExplanation, explain_captures
from harness.remote.captures import capture_file
from harness.remote.recording import pcapng_writer
from harness.remote.recording.packets import Packet, decode

VIP, A, S, C, PROBER = "10.20.1.200", "10.20.1.11", "10.20.1.12", "10.20.1.20", "168.63.129.16"
PORT, PROBE = 1521, 12345
FILE = f"""
name = "demo"
design = "nat"
client = {{ name = "lkclient", address = "{C}" }}
nodes = [
  {{ name = "lknode01", address = "{A}", second_address = "10.20.2.11" }},
  {{ name = "lknode02", address = "{S}", second_address = "10.20.2.12" }},
]
services = [{{ name = "db", kind = "oracle", port = {PORT}, tag = "t" }}]
load_balancer = {{ frontend = "{VIP}", probe = {{ port = {PROBE} }} }}
ip_resource = {{ tag = "ip", address = "{VIP}" }}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "cluster.toml"
    path.write_text(FILE)
    return path


@pytest.fixture
def cluster(file: Path):
    import tomllib

    return parse(tomllib.loads(FILE), file, only_looked_at=True)


def tcp(src: str, sport: int, dst: str, dport: int, flags: str, *, at: float, kind: str, nic: str = "eth0", seq: int = 7) -> Packet:
    ack = 0 if flags == "S" else seq + 1
    raw = bytes(IP(src=src, dst=dst) / TCP(sport=sport, dport=dport, flags=flags, seq=seq if flags == "S" else 99, ack=ack))
    return decode(at, nic, kind, raw)


def syn(src: str, dst: str, kind: str, at: float = 1.0, port: int = 40001, **more) -> Packet:
    return tcp(src, port, dst, PORT, "S", at=at, kind=kind, **more)


def answer(src: str, dst: str, kind: str, flags: str = "SA", at: float = 1.1, port: int = 40001, **more) -> Packet:
    return tcp(src, PORT, dst, port, flags, at=at, kind=kind, **more)


def probed(node: str, *, answers: bool = True, at: float = 0.5) -> list[Packet]:
    asked = tcp(PROBER, 555, node, PROBE, "S", at=at, kind="host")
    return [asked, *([tcp(node, PROBE, PROBER, 555, "SA", at=at + 0.01, kind="outgoing")] if answers else [])]


LATER = 9.0


def shown(folder: Path, cluster, **hosts: list[Packet]) -> CaptureExplanation:
    """Every host watched from 0 to 9 s: probes come all the time."""
    files = []
    for name, packets in hosts.items():
        path = folder / f"{name}.pcapng"
        own = {"lknode01": A, "lknode02": S, "lkclient": C}[name]
        answers = probed(own)[1] in packets
        first, last = (probed(own, answers=answers, at=at) for at in (0.0, LATER))
        path.write_bytes(pcapng_writer.encode([*first, *packets, *last], host=name))
        files.append(str(path))
    return explain_captures(files, cluster)


LEFT = syn(C, VIP, "outgoing")
CASES = {
    "W5": (
        {"lkclient": [LEFT, answer(VIP, C, "host", "RA")],
         "lknode01": [*probed(A), syn(C, A, "host"), answer(A, C, "outgoing", "RA")], "lknode02": []},
        ("W5", "lknode01", "certain"),
    ),
    "W8": ({"lkclient": [LEFT], "lknode01": probed(A), "lknode02": []}, ("the load balancer sends it nobody", "lknode01", "likely")),
    "W8 of some": (
        {"lkclient": [LEFT, syn(C, VIP, "outgoing", at=2.0, port=40002), answer(VIP, C, "host", at=2.1, port=40002)],
         "lknode01": [*probed(A), syn(C, A, "host", at=2.0, port=40002), answer(A, C, "outgoing", at=2.1, port=40002)], "lknode02": []},
        ("W8", "lkclient", "likely"),
    ),
    "W4": (
        {"lkclient": [], "lknode01": [*probed(A), syn(A, VIP, "outgoing"), syn(A, A, "host", at=1.01)], "lknode02": []},
        ("W4", "lknode01", "certain"),
    ),
    "W6": (
        {
            "lkclient": [],
            "lknode01": [*probed(A), *(syn(VIP, VIP, k, nic="lo") for k in ("outgoing", "host")), answer(VIP, VIP, "host", "RA", nic="lo")],
            "lknode02": [],
        },
        ("W6", "lknode01", "certain"),
    ),
    "only the client": ({"lkclient": [LEFT, answer(VIP, C, "host", "RA")]}, ("W5", "the node", "likely")),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_code_and_its_cause(tmp_path: Path, cluster, case: str) -> None:
    hosts, (code, host, certainty) = CASES[case]
    found = shown(tmp_path, cluster, **hosts)
    assert any(code in one.cause.says and one.cause.host == host and one.cause.certainty == certainty for one in found.causes), (
        found.as_text()
    )
    assert found.exit_code == 1


def test_a_healthy_capture_has_no_cause(tmp_path: Path, cluster) -> None:
    node = [*probed(A), syn(C, A, "host"), answer(A, C, "outgoing")]
    found = shown(tmp_path, cluster, lkclient=[LEFT, answer(VIP, C, "host")], lknode01=node, lknode02=[])
    assert found.causes == () and found.exit_code == 0 and found.paths[0].ways == {"W1": 1} and found.active == "lknode01"


def test_no_probe_at_a_node_is_a_rules_cause(tmp_path: Path, cluster) -> None:
    """The engine's own rules see what the capture has: probes that nobody answers put the node out of rotation."""
    found = shown(tmp_path, cluster, lkclient=[LEFT], lknode01=probed(A, answers=False), lknode02=[])
    assert found.causes and found.causes[0].failed and found.exit_code == 1


def test_a_capture_without_probes_does_not_show_that_none_come(tmp_path: Path, cluster) -> None:
    """It may have been made of the services' ports alone."""
    path = tmp_path / "lknode01.pcapng"
    path.write_bytes(
        pcapng_writer.encode([syn(C, A, "host", at=0.0), answer(A, C, "outgoing"), syn(C, A, "host", at=9.0, port=2)], host="lknode01")
    )
    found = explain_captures([str(path)], cluster)
    assert found.causes == () and found.paths[0].ways == {"W1": 1}


def test_a_port_that_is_used_again_is_another_connection(tmp_path: Path, cluster) -> None:
    mine = [LEFT, answer(VIP, C, "host"), syn(C, VIP, "outgoing", at=5.0, seq=77), answer(VIP, C, "host", "RA", at=5.1, seq=77)]
    found = shown(tmp_path, cluster, lkclient=mine)
    assert found.paths[0].ways == {"W1?": 1, "W5?": 1}


def test_what_was_under_way_at_the_end_is_not_judged(tmp_path: Path, cluster) -> None:
    assert shown(tmp_path, cluster, lkclient=[syn(C, VIP, "outgoing", at=LATER - 0.2)]).paths == ()


def test_ethernet_without_directions_is_understood_by_addresses(tmp_path: Path, cluster) -> None:
    """As `tcpdump -i eth0 -w` writes it: no direction, perhaps a VLAN tag, and a file name that says nothing."""
    frames = []
    for tag in ((), (Dot1Q(vlan=5),)):
        head = Ether(src="00:00:00:00:00:01", dst="00:00:00:00:00:02")
        for layer in tag:
            head = head / layer
        port = 40001 + len(tag)
        frames += [head / IP(src=C, dst=VIP) / TCP(sport=port, dport=PORT, flags="S", seq=7)]
        frames += [head / IP(src=VIP, dst=C) / TCP(sport=PORT, dport=port, flags="RA", seq=0, ack=8)]
    wrpcap(str(tmp_path / "x.pcap"), frames)
    found = explain_captures([str(tmp_path / "x.pcap")], cluster)
    assert found.watched == ("lkclient",) and found.paths[0].ways == {"W5?": 2}


def test_whose_capture_it_is_must_be_clear(tmp_path: Path, cluster) -> None:
    wrpcap(str(tmp_path / "x.pcap"), [Ether() / IP(src=C, dst=A) / TCP(sport=1, dport=PORT, flags="S")])
    with pytest.raises(BadUse, match="HOST=x"):
        explain_captures([str(tmp_path / "x.pcap")], cluster)
    assert explain_captures([f"lknode01={tmp_path / 'x.pcap'}"], cluster).watched == ("lknode01",)
    with pytest.raises(BadUse, match="second capture of lknode01"):
        explain_captures([f"lknode01={tmp_path / 'x.pcap'}"] * 2, cluster)


def a_capture() -> bytes:
    return pcapng_writer.encode([*probed(A), syn(C, A, "host"), answer(A, C, "outgoing"), *probed(A, at=3.0)], host="lknode01")


def test_a_file_that_is_cut_off_anywhere_is_said_to_be(tmp_path: Path, cluster) -> None:
    whole, path = a_capture(), tmp_path / "lknode01.pcapng"
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        try:
            read = capture_file.read(path, {PORT, PROBE})
        except BadUse as error:
            assert length < 120, error
            continue
        assert read.notes or length in _ends(whole), length


def _ends(whole: bytes) -> set[int]:
    """Where blocks end."""
    at, found = 0, set()
    while at < len(whole):
        at += struct.unpack_from("<I", whole, at + 4)[0]
        found.add(at)
    return found


@pytest.mark.parametrize("seed", range(20))
def test_no_bytes_make_it_raise_anything_but_one_sentence(tmp_path: Path, cluster, seed: int) -> None:
    dice, path = random.Random(seed), tmp_path / "lknode01.pcapng"
    for _ in range(25):
        data = bytearray(a_capture())
        for _ in range(dice.randint(1, 6)):
            data[dice.randrange(len(data))] = dice.choice([0, 255, dice.randrange(256)])
        path.write_bytes(bytes(data))
        try:
            explain_captures([str(path)], cluster).as_text()
        except BadUse as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize("content", [b"", b"no capture at all", b"\x1f\x8bxxxx", b"\x0a\x0d\x0d\x0a", b"\xd4\xc3\xb2\xa1" + b"\xff" * 40])
def test_what_is_no_capture_is_one_sentence(tmp_path: Path, file: Path, capsys, content: bytes) -> None:
    path = tmp_path / "lknode01.pcap"
    path.write_bytes(content)
    code = main(["explain", str(path), "--cluster", str(file)])
    said = capsys.readouterr()
    assert code in (2, 3) and "Traceback" not in said.err
    assert main(["explain", str(path), "--cluster", str(file), "--json"]) == code
    told = json.loads(capsys.readouterr().out)
    assert told["schema_version"] == 2 and (code == 3 or told["error"])


def test_a_giant_block_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "lknode01.pcapng"
    whole = a_capture()
    head = whole[: struct.unpack_from("<I", whole, 4)[0]]
    with path.open("wb") as out:
        out.write(head + struct.pack("<II", 6, 0x7FFFFFF0))
        out.truncate(1 << 33)
    assert "damaged" in capture_file.read(path, {PORT}).notes[0]


def test_a_pipe_is_refused(tmp_path: Path, cluster) -> None:
    os.mkfifo(tmp_path / "lknode01.pcap")
    with pytest.raises(BadUse, match="no plain file"):
        explain_captures([str(tmp_path / "lknode01.pcap")], cluster)


def test_json_has_causes_as_check_has(tmp_path: Path, file: Path, capsys) -> None:
    path = tmp_path / "lkclient.pcapng"
    path.write_bytes(pcapng_writer.encode([LEFT, answer(VIP, C, "host", "RA"), syn(C, VIP, "outgoing", at=5.0)], host="lkclient"))
    assert main(["explain", str(path), "--cluster", str(file), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert {"says", "host", "certainty", "evidence", "do", "else", "symptoms"} <= set(told["causes"][0])
    assert told["paths"][0]["wire"] == {"W5?": 1}
