"""A commented cluster file, written from what a person answers; what it says is judged before it is written. Pure."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

from harness.config import cluster_config
from harness.core.errors import BadUse
from harness.plugins.extension_points import MANAGERS, SERVICES

NL = "\n"


@dataclass(frozen=True)
class HostAnswer:
    """What a person said of one host."""

    name: str
    addresses: tuple[str, ...]
    platform: str = ""


@dataclass(frozen=True)
class ServiceAnswer:
    """What a person said of one service."""

    name: str
    kind: str
    port: int
    tag: str


@dataclass(frozen=True)
class BalancerAnswer:
    """What the load balancer has configured, where it could be asked. Seconds."""

    protocol: str
    path: str | None
    interval_s: float
    threshold: int
    idle_timeout_s: float
    tcp_reset: bool
    distribution: str
    ha_ports: bool


@dataclass(frozen=True)
class Answers:
    """What a cluster file cannot be without, and how to log in. `jump` names a host of the file that the nodes are reached through.

    `balancer`, `subnets` and `azure` (the table of that name) are known when Azure was asked.
    """

    name: str
    design: str
    client: HostAnswer
    nodes: tuple[HostAnswer, ...]
    frontend: str
    probe_port: int
    ip_tag: str
    services: tuple[ServiceAnswer, ...]
    manager: str
    resource: str
    user: str = "root"
    key: str = ""
    known_hosts: str = ""
    jump: str = ""
    sudo: bool = False
    balancer: BalancerAnswer | None = None
    subnets: tuple[str, str] | None = None
    azure: Mapping[str, Any] = field(default_factory=dict)


def host_of(text: str, *, addresses: int) -> HostAnswer:
    """`NAME=ADDRESS` or `NAME=ADDRESS,SECOND`. Raises BadUse."""
    name, _, addresses_text = text.partition("=")
    given_addresses = tuple(a.strip() for a in addresses_text.split(","))
    form = "NAME=ADDRESS" + ",SECOND" * (addresses - 1)
    if not name.strip() or len(given_addresses) != addresses:
        raise BadUse(f"{text!r} does not name a host; write {form}, such as lknode01=10.20.1.11{',10.20.2.11' * (addresses - 1)}")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", name.strip()):
        raise BadUse(f"{text!r}: {name.strip()!r} is no host's name (letters, digits, and _ . - after the first); write {form}")
    for address in given_addresses:
        try:
            IPv4Address(address)
        except ValueError:
            raise BadUse(f"{text!r}: {address or 'nothing'} is no IPv4 address; write {form}") from None
    return HostAnswer(name.strip(), given_addresses)


def address_of(text: str) -> str:
    """An IPv4 address. Raises BadUse."""
    try:
        return str(IPv4Address(text.strip()))
    except ValueError:
        raise BadUse(f"{text.strip() or 'nothing'} is no IPv4 address; write one such as 10.20.1.200") from None


def service_of(text: str) -> ServiceAnswer:
    """`NAME=KIND:PORT:TAG`. Raises BadUse."""
    match = re.fullmatch(r"\s*([^=]+)=([A-Za-z0-9_.-]+):(\d{1,5}):(\S+)\s*", text)
    if not match or match[2] not in SERVICES.names():
        kinds = ", ".join(SERVICES.names())
        raise BadUse(
            f"{text!r} does not name a service; write NAME=KIND:PORT:TAG (KIND: {kinds}; TAG: its resource in the cluster manager), "
            "such as listener=oracle:1521:listener-1521"
        )
    return ServiceAnswer(match[1].strip(), match[2], int(match[3]), match[4])


def write_text(answers: Answers, path: Path) -> str:
    """The file's text; what it says has been judged as `model.load` judges it. Raises BadUse with every fault."""
    text = _text(answers)
    cluster_config.parse(tomllib.loads(text), path)
    return text


def _text(a: Answers) -> str:
    return "".join([_cluster_and_client(a), *(_node(a, node) for node in a.nodes), _addresses(a), *map(_service, a.services), _manager(a)])


def _cluster_and_client(a: Answers) -> str:
    subnet1, subnet2 = a.subnets or (_net(a.client.addresses[0]), _net(a.nodes[0].addresses[1]))
    return f"""\
# A cluster to attach to, written by `lkharness init`. Everything that is commented out shows its default.
# Next: lkharness check --cluster THIS_FILE
name = {_q(a.name)}
design = {_q(a.design)}   # nat: floating IP is off on the load-balancing rules; floating: it is on
subnet1 = {_q(subnet1)}   # the service subnet: client, the nodes' first NICs, frontend
subnet2 = {_q(subnet2)}   # the nodes' second NICs, where the IP resource is

[client]   # the machine that clients' connections are made from
name = {_q(a.client.name)}
address = {_q(a.client.addresses[0])}
{f"platform = {_q(a.client.platform)}{NL}" if a.client.platform else ""}{_ssh("client", a, a.client.name)}"""


def _node(a: Answers, node: HostAnswer) -> str:
    return f"""
[[nodes]]
name = {_q(node.name)}
address = {_q(node.addresses[0])}   # in Subnet#1, in the balancer's pool
second_address = {_q(node.addresses[1])}   # in Subnet#2
{_platform(a.manager)}{_ssh("nodes", a, node.name)}"""


def _addresses(a: Answers) -> str:
    """The balancer, its probe, and the IP resource behind its frontend."""
    return f"""
[load_balancer]
frontend = {_q(a.frontend)}
{_balancer(a.balancer)}[load_balancer.probe]
port = {a.probe_port}
{_probe(a.balancer)}
[ip_resource]
address = {_q(a.frontend)}   # the frontend's very address
tag = {_q(a.ip_tag)}   # its name in the cluster manager
# prefix = 32
"""


def _service(service: ServiceAnswer) -> str:
    return f"""
[[services]]
name = {_q(service.name)}
kind = {_q(service.kind)}   # {", ".join(SERVICES.names())}
port = {service.port}
tag = {_q(service.tag)}   # its resource in the cluster manager
# settings = {{ user = "…", password_file = "…" }}   # for its kind
"""


def _manager(a: Answers) -> str:
    """The cluster manager, and what follows it: power commands, Azure and the budget."""
    return f"""
[manager]
kind = {_q(a.manager)}   # {", ".join(MANAGERS.names())}
resource = {_q(a.resource)}   # what is switched over: the top of the hierarchy
# heartbeat_s = 5.0   # LCMHBEATTIME; the budgets follow from these timers, so write down the cluster's own
# heartbeats_missed = 3   # LCMNUMHBEATS
# check_interval_s = 120.0   # LKCHECKINTERVAL
# takeover_s = 30.0   # out of service here and in service there
# boot_s = 300.0
# hc_timeout_s = 10.0   # HC_TIMEOUT; without it, disruptions that rest on it are skipped

# Commands on this machine that cut and restore a node's power; without them power loss, reboot and freeze are skipped.
# [power]
# off = ["az", "vm", "stop", "--skip-shutdown", "-g", "group", "-n", "{{node}}"]
# on = ["az", "vm", "start", "-g", "group", "-n", "{{node}}"]

{_azure(a.azure)}# [budget]
# margin_s = 5.0   # beyond what the timers explain
# recovery_s = 0.0   # how long a database may recover after a crash before it serves
"""


def _balancer(balancer: BalancerAnswer | None) -> str:
    """The rules' settings: as Azure has them, or the defaults, commented out."""
    if balancer is None:
        return '# idle_timeout_s = 240.0\n# tcp_reset = false\n# ha_ports = false\n# distribution = "Default"\n'
    settings = {
        "idle_timeout_s": balancer.idle_timeout_s,
        "tcp_reset": balancer.tcp_reset,
        "ha_ports": balancer.ha_ports,
        "distribution": balancer.distribution,
    }
    return "".join(f"{key} = {_v(value)}\n" for key, value in settings.items())


def _probe(balancer: BalancerAnswer | None) -> str:
    if balancer is None:
        return '# protocol = "tcp"\n# interval_s = 5.0\n# threshold = 1   # probeThreshold; numberOfProbes does nothing\n'
    path = f"path = {_q('/' + balancer.path.lstrip('/'))}\n" if balancer.path is not None else ""
    threshold = f"threshold = {balancer.threshold}   # probeThreshold; numberOfProbes does nothing\n"
    return f"protocol = {_q(balancer.protocol)}\n{path}interval_s = {_v(balancer.interval_s)}\n{threshold}"


def _azure(table: Mapping[str, Any]) -> str:
    if not table:
        return ""
    lines = (f"{key} = {_v(value)}\n" for key, value in table.items())
    return f"[azure]   # where this was read, and what `lkharness check` compares; cluster.example.toml has the rest\n{''.join(lines)}\n"


def _ssh(table: str, a: Answers, host: str) -> str:
    lines = [f"[{table}.ssh]", f"user = {_q(a.user)}"]
    lines.append(f"key = {_q(a.key)}" if a.key else '# key = "~/.ssh/id_ed25519"   # without it: the SSH agent')
    if a.known_hosts:
        lines.append(f"known_hosts = {_q(a.known_hosts)}")
    else:
        lines.append('# known_hosts = "known_hosts"   # relative to this file; without it: ~/.ssh/known_hosts')
    if table == "nodes" and a.jump and a.jump != host:
        lines.append(f"jump = {_q(a.jump)}")
    else:
        lines.append('# jump = "…"   # another host of this file to go through')
    lines.append(
        "sudo = true   # commands through `sudo -n`" if a.sudo else "# sudo = false   # commands through `sudo -n`; captures need root"
    )
    return "\n".join([*lines, '# python = "python3"', ""])


def _platform(manager: str) -> str:
    return 'platform = "windows"\n' if cluster_config.platform_of(manager) == "windows" else ""


def _net(address: str) -> str:
    return str(IPv4Network(f"{address}/24", strict=False))


def _v(value: Any) -> str:
    """A TOML value."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_q(str(k))} = {_v(v)}" for k, v in value.items()) + " }"
    return _q(value) if isinstance(value, str) else json.dumps(value)


def _q(text: str) -> str:
    """A TOML string: JSON's is one."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
