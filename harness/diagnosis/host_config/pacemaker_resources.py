"""What Pacemaker's configuration (`cibadmin -Q`) tells of each resource, as flat words. Pure; no text makes it raise."""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.etree import ElementTree as xml

from harness.diagnosis.host_config.pacemaker_cib import root_of
from harness.managers.parse.pacemaker_parse import PROGRAM_SETTINGS
from harness.managers.unlisted_members import lies_on

ADDRESS = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.])")
PORT = re.compile(r"--port[ =](\d{1,5})(?!\d)")
PLAIN = re.compile(r"[\w.:-]+", re.ASCII)
OFF = ("false", "no", "off", "n", "0")


def parse(text: str, ip_tag: str) -> dict[str, str]:
    """The IP resource's NIC and address; of each resource its agent, its program, its port, its place and whether it is watched."""
    root = root_of(text)
    found: dict[str, str] = {}
    if root is None:
        return found
    for primitive in root.iter("primitive"):
        tag = primitive.get("id", "")
        made = _made_of(root, primitive)
        nic = next((v.get("value", "") for one in made for v in one.iter("nvpair") if v.get("name") == "nic"), "")
        given = {v.get("name", ""): v.get("value", "") for one in made[::-1] for v in one.iterfind("instance_attributes/nvpair")}
        agent = next((one.get("type", "") for one in made if one.get("type")), "")
        found[f"agent {tag}"] = agent
        kind, provider = ([one.get(name, "") for one in made if one.get(name)][:1] for name in ("class", "provider"))
        if kind == ["ocf"] and provider and PLAIN.fullmatch(provider[0] + agent):
            found[f"script {tag}"] = f"/usr/lib/ocf/resource.d/{provider[0]}/{agent}"
        if kind == ["stonith"] and PLAIN.fullmatch(agent):
            found[f"fence agent {tag}"] = f"/usr/sbin/{agent}"
            found[f"fences {tag}"] = f"{given.get('pcmk_host_list', '')} {given.get('pcmk_host_map', '')}".strip()
        if program := next((given[name] for name in PROGRAM_SETTINGS if given.get(name, "").startswith("/")), ""):
            found[f"program {tag}"] = program
        if agent == "Filesystem" and given.get("directory", "").startswith("/"):
            found[f"directory {tag}"] = given["directory"].rstrip("/")
        if tag == ip_tag and nic:
            found["ip nic"] = nic
        if tag == ip_tag and ADDRESS.fullmatch(given.get("ip", "")):
            found["ip address"] = given["ip"]
        if port := given.get("port") or (PORT.search(given.get("cmdline_options", "")) or ("", ""))[1]:
            found[f"port {tag}"] = port
        if watched := _watched(primitive, made):
            found[f"monitor {tag}"] = watched
    for ban in root.iterfind(".//constraints/rsc_location"):
        if ban.get("score", "").lstrip("-") in ("INFINITY", "1000000") and ban.get("score", "").startswith("-"):
            kept = f"kept off {ban.get('rsc')}"
            found[kept] = f"{found.get(kept, '')} {ban.get('node', '')}".strip()
    devices = {p.get("id", "") for p in root.iter("primitive") if p.get("class") == "stonith"}
    for level in root.iterfind(".//fencing-topology/fencing-level"):
        if lacking := [d for d in level.get("devices", "").split(",") if d.strip() not in devices]:
            found[f"fencing level {level.get('id')}"] = f"{level.get('target') or 'nodes'} {','.join(lacking)}"
    for disk, tag in lies_on(root):  # file systems lie within each other
        found[f"disk of {tag}"] = f"{found.get(f'disk of {tag}', '')} {disk}".lstrip()
    for pair in root.iterfind(".//crm_config//nvpair"):
        found[f"option {pair.get('name')}"] = pair.get("value", "")
    return found


def _made_of(root: xml.Element, primitive: xml.Element) -> list[xml.Element]:
    """A resource, and the template that it is made from, which has what the resource does not have itself."""
    name = primitive.get("template")
    return [primitive, *(one for one in root.iter("template") if name and one.get("id") == name)]


def _watched(primitive: xml.Element, made: list[xml.Element]) -> str:
    """Has it a recurring monitor that is on? `yes`, `none`, or nothing where its operations are elsewhere and are not found."""
    if any(_watches(made)):
        return "yes"
    elsewhere = any(one.get("id-ref") for whole in made for one in whole.iter()) or (primitive.get("template") and len(made) == 1)
    return "" if elsewhere else "none"


def _watches(made: list[xml.Element]) -> Iterator[bool]:
    """Of each recurring monitor whether it is on. A resource's own operation stands for the template's of that name and interval."""
    seen: set[str] = set()
    for whole in made:
        mine = [op for op in whole.iter("op") if op.get("name") == "monitor" and op.get("role", "").lower() != "stopped"]
        for op in mine:
            interval = op.get("interval", "0")
            if interval not in seen and interval.rstrip("ms") not in ("", "0"):
                yield op.get("enabled", "true").lower() not in OFF
        seen |= {op.get("interval", "0") for op in mine}
