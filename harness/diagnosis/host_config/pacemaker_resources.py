"""What Pacemaker's configuration (`cibadmin -Q`) tells of each resource on a node, as flat words. Pure; no text makes it raise."""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Iterator
from xml.etree import ElementTree as xml

from harness.diagnosis.host_config.manager_settings import seconds_of
from harness.diagnosis.host_config.pacemaker_cib import options, pairs_of, root_of
from harness.managers.parse.mount_point_dependencies import lies_on
from harness.managers.parse.pacemaker_parse import PROGRAM_SETTINGS

ADDRESS = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.])")
PORT = re.compile(r"--port[ =](\d{1,5})(?!\d)")
PLAIN = re.compile(r"[\w.:-]+", re.ASCII)
ADDRESS_AGENTS = ("IPaddr2", "IPaddr")
DELAYS = ("pcmk_delay_base", "pcmk_delay_max", "delay")  # by which one of two nodes that fence each other is faster
HOLDERS = ("group", "clone", "master", "bundle")
OFF = ("false", "no", "off", "n", "0")
ON = ("true", "yes", "on", "y", "1")


def parse(text: str, ip_tag: str, node: str = "") -> dict[str, str]:
    """The IP resource's NIC and address; of each resource its agent, its program, its port, its place and whether it is watched."""
    root = root_of(text)
    settings: dict[str, str] = {}
    if root is None:
        return settings
    for primitive in root.iter("primitive"):
        tag = primitive.get("id", "")
        definitions = _definitions(root, primitive)
        parameters = _parameters(definitions, node)
        nic = parameters.get("nic", "")
        agent = next((definition.get("type", "") for definition in definitions if definition.get("type")), "")
        settings[f"agent {tag}"] = agent
        kind, provider = (
            [definition.get(name, "") for definition in definitions if definition.get(name)][:1] for name in ("class", "provider")
        )
        if kind == ["ocf"] and provider and PLAIN.fullmatch(provider[0] + agent):
            settings[f"script {tag}"] = f"/usr/lib/ocf/resource.d/{provider[0]}/{agent}"
        if kind == ["stonith"] and PLAIN.fullmatch(agent):
            settings[f"fence agent {tag}"] = f"/usr/sbin/{agent}"
            if delays := [f"{name}={parameters[name]}" for name in DELAYS if re.search("[1-9]", parameters.get(name, ""))]:
                settings[f"fence delay {tag}"] = " ".join(delays)
            if parameters.get("msi", "").lower() in ON:
                settings[f"managed identity {tag}"] = "yes"
            settings[f"fences {tag}"] = f"{parameters.get('pcmk_host_list', '')} {parameters.get('pcmk_host_map', '')}".strip()
        if start_options := parameters.get("start_opt", ""):
            settings[f"start options {tag}"] = start_options
        if program := next((parameters[name] for name in PROGRAM_SETTINGS if parameters.get(name, "").startswith("/")), ""):
            settings[f"program {tag}"] = program
        if agent == "Filesystem" and parameters.get("directory", "").startswith("/"):
            settings[f"directory {tag}"] = parameters["directory"].rstrip("/")
        if tag == ip_tag and nic:
            settings["ip nic"] = nic
        if tag == ip_tag and ADDRESS.fullmatch(parameters.get("ip", "")):
            settings["ip address"] = parameters["ip"]
        if agent in ADDRESS_AGENTS and ADDRESS.fullmatch(parameters.get("ip", "")):
            settings[f"address {tag}"] = parameters["ip"]
        if port := parameters.get("port") or (PORT.search(parameters.get("cmdline_options", "")) or ("", ""))[1]:
            settings[f"port {tag}"] = port
        if watched := _monitor_state(primitive, definitions):
            settings[f"monitor {tag}"] = watched
        intervals = [interval for interval, on in _monitors(definitions) if on]
        if intervals and None not in (every := [seconds_of(interval) for interval in intervals]):
            settings[f"monitor interval {tag}"] = f"{min(seconds for seconds in every if seconds is not None):g}"
    settings |= {f"holder {e.get('id')}": e.tag for kind in HOLDERS for e in root.iterfind(f"configuration/resources//{kind}")}
    settings |= {f"clone of {tag}": clone for clone, tag in _copied(root)}
    settings |= {f"instances of {tag}": clone for clone, tag in _copied(root, promotable=True)}
    settings |= {f"disabled {tag}": "yes" for tag in _disabled(root)}
    for ban in root.iterfind(".//constraints/rsc_location"):
        if ban.get("score", "").lstrip("-") in ("INFINITY", "1000000") and ban.get("score", "").startswith("-"):
            ban_key = f"kept off {ban.get('rsc')}"
            settings[ban_key] = f"{settings.get(ban_key, '')} {ban.get('node', '')}".strip()
    devices = {p.get("id", "") for p in root.iter("primitive") if p.get("class") == "stonith"}
    for level in root.iterfind(".//fencing-topology/fencing-level"):
        if lacking := [d for d in level.get("devices", "").split(",") if d.strip() not in devices]:
            settings[f"fencing level {level.get('id')}"] = f"{level.get('target') or 'nodes'} {','.join(lacking)}"
    for disk, tag in lies_on(root):  # file systems lie within each other
        settings[f"disk of {tag}"] = f"{settings.get(f'disk of {tag}', '')} {disk}".lstrip()
    settings |= {f"option {name}": value for name, value in options(root).items()}
    return settings


def _parameters(definitions: list[xml.Element], node: str) -> dict[str, str]:
    """A resource's parameters on that node, its own before its template's. A set whose rule is about other nodes does not count, nor one
    whose rule looks at what is not known here."""
    return dict(ChainMap(*(pairs_of(one, "instance_attributes", lambda rule: _is_about(rule, node)) for one in definitions)))


def _is_about(rule: xml.Element, node: str) -> bool:
    """Does the rule hold on that node, by its name alone?"""
    answers = [
        e.tag == "expression"
        and (e.get("attribute"), e.get("operation")) in (("#uname", "eq"), ("#uname", "ne"))
        and (e.get("value") == node) is (e.get("operation") == "eq")
        for e in rule
        if e.tag != "nvpair"
    ]
    return bool(answers) and (any(answers) if rule.get("boolean-op", "and") == "or" else all(answers))


def _copied(root: xml.Element, promotable: bool = False) -> Iterator[tuple[str, str]]:
    """Clones, each with a resource that it runs on several nodes at once; with those that are promoted on one node, and do another thing on
    the others, where these are asked for."""
    kinds = ("clone", "master") if promotable else ("clone",)
    for clone in (e for kind in kinds for e in root.iterfind(f"configuration/resources//{kind}")):
        meta = {v.get("name", ""): v.get("value", "").lower() for v in clone.iterfind("meta_attributes/nvpair")}
        if meta.get("clone-max") != "1" and (promotable or meta.get("promotable", "false") in OFF):
            yield from ((clone.get("id", ""), primitive.get("id", "")) for primitive in clone.iter("primitive"))


def _disabled(root: xml.Element) -> Iterator[str]:
    """Resources that are told to stay stopped, themselves or with what they are in."""
    for block in root.iterfind("configuration/resources//*"):
        meta = {v.get("name", ""): v.get("value", "").lower() for v in block.iterfind("meta_attributes/nvpair")}
        if block.tag in ("primitive", "group", "clone", "master") and meta.get("target-role") == "stopped":
            yield from (primitive.get("id", "") for primitive in block.iter("primitive"))


def _definitions(root: xml.Element, primitive: xml.Element) -> list[xml.Element]:
    """A resource, and the template that it is made from, which has what the resource does not have itself."""
    name = primitive.get("template")
    return [primitive, *(template for template in root.iter("template") if name and template.get("id") == name)]


def _monitor_state(primitive: xml.Element, definitions: list[xml.Element]) -> str:
    """Has it a recurring monitor that is on? `yes`, `none`, or nothing where its operations are elsewhere and are not found."""
    if any(on for _, on in _monitors(definitions)):
        return "yes"
    elsewhere = any(element.get("id-ref") for definition in definitions for element in definition.iter()) or (
        primitive.get("template") and len(definitions) == 1
    )
    return "" if elsewhere else "none"


def _monitors(definitions: list[xml.Element]) -> Iterator[tuple[str, bool]]:
    """Of each recurring monitor its interval, and whether it is on. A resource's own operation stands for the template's of that name and
    interval."""
    known_intervals: set[str] = set()
    for definition in definitions:
        monitors = [op for op in definition.iter("op") if op.get("name") == "monitor" and op.get("role", "").lower() != "stopped"]
        for op in monitors:
            interval = op.get("interval", "0")
            if interval not in known_intervals and interval.rstrip("ms") not in ("", "0"):
                yield interval, op.get("enabled", "true").lower() not in OFF
        known_intervals |= {op.get("interval", "0") for op in monitors}
