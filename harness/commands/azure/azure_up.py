"""`lkharness azure up`: make a cluster in Azure from the template, after showing every resource and what it costs."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.commands import prompt
from harness.commands.shared_options import add, print_error, print_json
from harness.core.errors import BadUse, HarnessError, Unusable

if TYPE_CHECKING:
    from collections.abc import Callable
    from ipaddress import IPv4Address

    from harness.azure.client.sdk_clients import Clients
    from harness.azure.provision.deployment_request import DeploymentRequest
    from harness.azure.provision.ssh_access.host_keys import HostKeys

EXAMPLE = "lkharness azure up --subscription S --resource-group lk-test --location westeurope --owner me --ssh-key ~/.ssh/id.pub --plan"
MAX_LIFETIME_MIN = 7 * 24 * 60


def add_to(verbs) -> None:
    """Adds the command to the parser."""
    description = (
        "make a cluster in Azure: two nodes with two NICs each, a client and an internal load balancer, with tags that say whose it is"
    )
    up = add(verbs, "up", _up, description, EXAMPLE)
    add_place_options(up)
    up.add_argument("--location", metavar="REGION", required=True, help="Azure's name of the region, such as westeurope")
    up.add_argument("--owner", metavar="NAME", required=True, help="who answers for it; a tag on everything")
    up.add_argument(
        "--expires",
        metavar="TIME",
        default="8h",
        help="when `azure sweep` may remove it: 90m, 8h (the default), 2d, at most 30d; its tag may say later",
    )
    up.add_argument(
        "--tag", metavar="KEY=VALUE", action="append", default=[], help="one more tag on everything; can be given several times"
    )
    up.add_argument("--ssh-key", metavar="FILE", required=True, help="the public key that may log in")
    up.add_argument("--plan", action="store_true", help="show every resource and what it costs an hour, and make nothing")
    up.add_argument("--yes", action="store_true", help="make it without asking first")
    up.add_argument(
        "--keep",
        choices=["never", "failed", "always"],
        default="never",
        help="keep nothing of what went wrong (never, the default), a deployment that failed, or also what was interrupted",
    )
    up.add_argument("--design", choices=["nat", "floating"], default="nat", help="floating IP off (nat, the default) or on")
    up.add_argument("--placement", choices=["zones", "availability-set"], default="zones", help="of the two nodes (default: zones)")
    up.add_argument("--zones", metavar="A,B", help="of the two nodes, with --placement zones (default: 1,2)")
    up.add_argument("--size", metavar="NAME", help="of the nodes' machines (default: Standard_D2s_v5)")
    up.add_argument("--image", metavar="PUBLISHER:OFFER:SKU:VERSION", help="default: Debian:debian-12:12-gen2:latest")
    up.add_argument("--user", metavar="NAME", help="who logs in (default: azureuser)")
    up.add_argument(
        "--port", type=int, action="append", metavar="PORT", help="a service's port; can be given several times (default: 1521)"
    )
    up.add_argument("--ha-ports", action="store_true", help="one rule for all ports")
    up.add_argument("--probe-port", type=int, metavar="PORT", help="default: 12345")
    up.add_argument("--probe-threshold", type=int, metavar="N", help="default: 1")
    up.add_argument("--prefix", metavar="TEXT", help="before every name, where a group holds more than one cluster")
    up.add_argument(
        "--public-from", metavar="CIDR", help="give the client a public address as a jump host, for SSH from these addresses only"
    )
    up.add_argument(
        "--outbound", action="store_true", help="a NAT gateway: the nodes may reach the Internet, as packages need (facts ILB-23)"
    )
    up.add_argument("--manager", metavar="WHAT", default="none", help="none (the default), pacemaker, or the path of a script of yours")
    price_sources = ["none", "rough", "retail"]
    up.add_argument(
        "--prices", choices=price_sources, default="none", help="a rough table that nobody has checked, or Azure's price list; none"
    )
    add_limit_option(up, 60)
    up.add_argument("--cluster-file", metavar="FILE", help="where to write the cluster file (default: RUN.toml here)")


def add_place_options(parser: argparse.ArgumentParser, *, group: bool = True) -> None:
    """The options that say where in Azure."""
    parser.add_argument(
        "--azure-from", dest="azure", metavar="FILE", help="a file with an [azure] table, such as a cluster file: how to log in, and where"
    )
    parser.add_argument(
        "--azure", dest="azure", metavar="FILE", help=argparse.SUPPRESS
    )  # its name before; of `init` and `lab up` it is a flag
    parser.add_argument("--subscription", metavar="ID", help="overrides the file's")
    if group:
        parser.add_argument("--resource-group", metavar="NAME", help="overrides the file's; made when there is none")


def add_limit_option(parser: argparse.ArgumentParser, default: float | None, help_text: str = "") -> None:
    """How long it may take, in minutes everywhere."""
    parser.add_argument(
        "--limit", metavar="MINUTES", type=_minutes, default=default, help=help_text or f"for all of it (default: {default:g})"
    )


def _minutes(text: str) -> float:
    """More than none, and no more than a timer can hold."""
    try:
        minutes = float(text)
    except ValueError:
        minutes = 0.0
    if not 0.0 < minutes <= MAX_LIFETIME_MIN:  # which is not so for nan, either
        raise argparse.ArgumentTypeError(f"{text!r} is no time; write minutes, more than 0 and at most {MAX_LIFETIME_MIN} (a week)")
    return minutes


def _up(arguments: argparse.Namespace) -> int:
    from harness.azure.provision import deployment_request, deployment_validation, manager_install, provision
    from harness.azure.provision.deployment_settings import azure_of
    from harness.azure.provision.template import prices
    from harness.config import cluster_config

    azure, table = azure_of(Path(arguments.azure) if arguments.azure else None, arguments.subscription, arguments.resource_group)
    script = manager_install.script_of(arguments.manager)
    if script is not None and not arguments.outbound:
        raise BadUse(
            "--manager without --outbound: the nodes would have no way out to Azure, which run-command returns a script's results by, and "
            "none to fetch packages by (facts ILB-23); give --outbound, too"
        )
    request = _request(arguments)
    deployment_validation.check(request)
    planned = deployment_request.plan(request, azure, prices.prices_of(arguments.prices, arguments.location))
    file = Path(arguments.cluster_file or f"{request.run}.toml")
    for output in (file, _known_hosts(file)):
        provision.demand_writable(output)
    cluster_config.parse(
        provision.cluster_file(request, table, arguments.manager, _known_hosts(file).name), file
    )  # a cluster whose file nothing can read would be made for nothing
    if not arguments.json:
        print(deployment_request.as_text(planned), flush=True)
    elif arguments.plan:
        print_json(planned)
    if arguments.plan:
        return 0
    if arguments.json:
        return _make_for_a_program(planned, arguments, lambda: _make(azure, table, request, script, arguments, file))
    demand_agreement(arguments, "make this?", "nothing was made")
    return _make(azure, table, request, script, arguments, file)


def _make_for_a_program(planned: dict[str, Any], arguments: argparse.Namespace, make: Callable[[], int]) -> int:
    """The plan, and what became of it, as one object at the end: whoever made something must learn its run whatever happens."""
    try:
        demand_agreement(arguments, "make this?", "nothing was made")
        code = make()
    except HarnessError as error:
        return print_error(str(error), int(error.exit_code), planned)
    except KeyboardInterrupt:
        return print_error(f"interrupted; see what is left: lkharness azure down --plan --run {planned['run']}", 130, planned)
    print_json(planned)
    return code


def _make(
    azure: Any, table: dict[str, Any], request: DeploymentRequest, script: str | None, arguments: argparse.Namespace, file: Path
) -> int:
    import sys

    import tomli_w

    from harness.azure.client import sdk_clients
    from harness.azure.provision import provision
    from harness.azure.provision.ssh_access import host_keys
    from harness.core.terminal import CLEANER

    def say(text: str) -> None:
        print(CLEANER.text(text), file=sys.stderr, flush=True)  # among it the last words of a person's script on a machine

    talk = sdk_clients.make_clients(azure)
    try:
        provision.up(talk, request, script, arguments.keep, arguments.limit * 60.0, say)
        say(f"the cluster is there and costs money; remove it with: {provision.how_to_remove(azure, request)}")
        public, keys, faults = _access(talk, request, file, say)
    finally:
        talk.close()
    content = provision.cluster_file(request, table, arguments.manager, _known_hosts(file).name, public)
    provision.write(file, tomli_w.dumps(content))
    provision.write(_known_hosts(file), host_keys.content(keys, request.run))
    if keys.unknown:
        advice = "compare before you write one: what `ssh-keygen -lf` says of the key on the host itself"
        say(f"the host keys of {', '.join(keys.unknown)} are not known; SSH is refused until {_known_hosts(file)} has them; {advice}")
    say(f"{file} is the cluster's file; look through it, then: lkharness check --cluster {file}")
    if faults:
        raise Unusable(f"{'; '.join(faults)}; the cluster is there: complete {file} and {_known_hosts(file)} by hand")
    return 0


def _known_hosts(file: Path) -> Path:
    """The file of the machines' host keys, beside the cluster file."""
    return file.with_suffix(".known_hosts")


def _access(
    talk: Clients, request: DeploymentRequest, file: Path, say: Callable[[str], None]
) -> tuple[IPv4Address | None, HostKeys, list[str]]:
    """The client's public address, where one was asked for; the machines' host keys; what could not be read of it. Raises nothing of it,
    Ctrl-C neither: the cluster is there, and this is no "nothing was left behind"."""
    from harness.azure.provision.ssh_access import host_keys, jump_host
    from harness.azure.provision.template import template

    parameters = template.parameters_of(template.load(), request.parameters)
    public, faults, client = None, [], parameters["client"]["name"]
    try:
        try:
            if (address := jump_host.requested_address(request, talk)) is not None:
                public = jump_host.public_address(talk, address)
                say(f"the client, the jump host, has the public address {public}")
        except HarnessError as error:
            faults.append(f"{error}; find its public address and write it as ssh.host of {client} in {file}")
        keys = host_keys.read(talk, parameters, public, say)
    except KeyboardInterrupt:
        names = [client, *(node["name"] for node in parameters["nodes"])]
        keys = host_keys.HostKeys(unknown=dict.fromkeys(names, "interrupted while they were read"))
        faults.append(
            f"interrupted while reading how to reach the machines; where it has one, write {client}'s public address as its ssh.host"
        )
    return public, keys, [*faults, *keys.failed]


def _request(arguments: argparse.Namespace) -> DeploymentRequest:
    from harness.azure.provision.deployment_request import DeploymentRequest, expires_in, public_key, tags_of

    options = {
        "vmSize": arguments.size,
        "clientSize": arguments.size,
        "user": arguments.user,
        "ports": arguments.port,
        "probePort": arguments.probe_port,
        "probeThreshold": arguments.probe_threshold,
        "prefix": arguments.prefix,
        "image": _image(arguments.image) if arguments.image else None,
    }
    over: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    over |= {"design": arguments.design, "placement": arguments.placement, "haPorts": arguments.ha_ports, "outbound": arguments.outbound}
    if arguments.zones is not None:
        over["zones"] = _zones(arguments.zones, arguments.placement)
    over["sshPublicKey"] = public_key(Path(arguments.ssh_key))
    if arguments.public_from is not None:
        over |= {"publicAddress": True, "sshSource": _network(arguments.public_from)}
    return DeploymentRequest(arguments.location, arguments.owner, expires_in(arguments.expires), over, tags_of(arguments.tag))


def _image(text: str) -> dict[str, str]:
    parts = text.split(":")
    if len(parts) != 4 or not all(parts):
        raise BadUse(f"--image {text}: is no image; write PUBLISHER:OFFER:SKU:VERSION")
    return dict(zip(("publisher", "offer", "sku", "version"), parts, strict=True))


def _zones(text: str, placement: str) -> list[str]:
    zones = text.split(",")
    if placement != "zones":
        raise BadUse("--zones: an availability set has none; leave it out, or --placement")
    if len(zones) != 2 or not set(zones) <= {"1", "2", "3"}:
        raise BadUse(f"--zones {text}: are no two zones; write two of 1, 2, 3, such as 1,3")
    return zones


def _network(text: str) -> str:
    from ipaddress import IPv4Network

    try:
        network = IPv4Network(text)
    except ValueError:
        raise BadUse(f"--public-from {text!r}: is no network; write an address of yours such as 192.0.2.7/32") from None
    if network.prefixlen == 0:
        raise BadUse("--public-from 0.0.0.0/0 would let the whole Internet at the jump host; name your own addresses")
    return str(network)


def demand_agreement(arguments: argparse.Namespace, question: str, otherwise: str) -> None:
    """A person has seen the plan. Raises BadUse when there is nobody to ask, or the answer is no."""
    import sys

    if arguments.yes:
        return
    if arguments.json or sys.stdin is None or not sys.stdin.isatty():
        raise BadUse(f"{otherwise}: look at the plan, then give --yes")
    try:
        answer = prompt.ask(f"{question} [y/N] ", to=sys.stderr)
    except (EOFError, UnicodeDecodeError):
        answer = "no"
    if not re.match(r"y(es)?$", answer.lower()):
        raise BadUse(otherwise)
