"""`lkharness lab azure …`: the faults and misconfigurations of a lab's stand-in for Azure, and the requests it received."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from harness.commands.shared_options import add, print_json
from harness.core.errors import BadUse

if TYPE_CHECKING:
    from harness.lab.azure.control_client import ControlClient


def add_to(verbs) -> None:
    """Adds the command to the parser."""
    azure = verbs.add_parser(
        "azure",
        help="Azure's API of a lab that was brought up with --azure",
        epilog="example: lkharness lab azure fault throttled --path powerOff",
    )
    verbs_of_azure = azure.add_subparsers(title="what to do", metavar="WHAT", required=True, parser_class=type(azure))

    fault = add(
        verbs_of_azure, "fault", _fault, "switch a fault of the API on", "lkharness lab azure fault dropped-after --path powerOff --times 1"
    )
    _lab(fault)
    fault.add_argument("kind", nargs="?", help="which (without it: those there are, and those switched on)")
    fault.add_argument("--method", metavar="METHOD", help="only for requests of this method (default: any)")
    fault.add_argument("--path", metavar="REGEX", help="only for requests whose path matches (default: any)")
    fault.add_argument("--times", type=int, metavar="N", help="for so many of them (default: 1; 0: until it is cleared)")
    fault.add_argument("--skip", type=int, metavar="N", help="let so many of them pass first")
    fault.add_argument("--seconds", type=float, metavar="SECONDS", help="with slow: how late the answer is (default: 2)")
    fault.add_argument(
        "--retry-after", type=int, metavar="SECONDS", help="with throttled and unavailable: what Retry-After says (default: 1)"
    )

    misconfiguration = add(
        *(verbs_of_azure, "misconfiguration", _switch_misconfigurations, "switch a misconfiguration on"),
        "lkharness lab azure misconfiguration floating-ip",
        former_names=["wrong"],
    )
    _lab(misconfiguration)
    misconfiguration.add_argument("kind", nargs="*", help="which (without it: those there are, and those switched on)")

    requests = add(
        verbs_of_azure, "requests", _requests, "list the requests received", "lkharness lab azure requests --method POST --path powerOff"
    )
    _lab(requests)
    requests.add_argument("--method", default="", metavar="METHOD")
    requests.add_argument("--path", default="", metavar="REGEX")

    clear = add(
        verbs_of_azure,
        "clear",
        _clear,
        "switch every fault, misconfiguration and condition off, and empty the record",
        "lkharness lab azure clear",
    )
    _lab(clear)


def _lab(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", help="which lab (not needed when one is running)")


def _control_client(arguments: argparse.Namespace) -> ControlClient:
    from harness.config import cluster_config
    from harness.lab.azure.control_client import ControlClient
    from harness.lab.control import lab_registry

    lab = lab_registry.find(arguments.name)
    azure = cluster_config.load(lab.cluster_file).azure
    if azure is None:
        raise BadUse(f"the lab {lab.name!r} has no Azure beside it; bring it up with `lkharness lab up --azure`")
    return ControlClient(azure)


def _fault(arguments: argparse.Namespace) -> int:
    client = _control_client(arguments)
    if arguments.kind is None:
        faults = client.faults()
        if arguments.json:
            print_json(faults)
            return 0
        _print_kinds(faults["kinds"])
        for fault in faults["on"]:
            print(f"on: {fault['kind']} for {fault['method'] or 'any method'} {fault['path'] or 'any path'}, met by {fault['met']}")
        return 0
    options = {key: getattr(arguments, key) for key in ("method", "path", "times", "skip", "seconds", "retry_after")}
    fault = client.fault(arguments.kind, **{key: value for key, value in options.items() if value is not None})
    if arguments.json:
        print_json({"fault": fault})
        return 0
    print(f"{fault['kind']} is on for {'all' if not fault['times'] else fault['times']} matching request(s)")
    return 0


def _switch_misconfigurations(arguments: argparse.Namespace) -> int:
    client = _control_client(arguments)
    client.misconfigure(*arguments.kind)
    state = client.misconfigurations()
    if arguments.json:
        print_json(state)
        return 0
    if not arguments.kind:
        _print_kinds(state["kinds"])
    for kind in state["on"]:
        print(f"on: {kind}, {state['kinds'][kind]}")
    return 0


def _print_kinds(kinds: dict[str, str]) -> None:
    for kind, sentence in kinds.items():
        print(f"  {kind:<20} {sentence}")


def _requests(arguments: argparse.Namespace) -> int:
    requests = _control_client(arguments).requests(arguments.method, arguments.path)
    if arguments.json:
        print_json({"requests": requests})
    else:
        for request in requests:
            fault = f"  ({request['fault']})" if request["fault"] else ""
            print(f"{request['at']:.3f}  {request['status'] or '---'}  {request['method']:<6} {request['path']}{fault}")
    return 0


def _clear(arguments: argparse.Namespace) -> int:
    _control_client(arguments).clear()
    if arguments.json:
        print_json({"faults": [], "misconfigurations": []})
    else:
        print("every fault, misconfiguration and condition is off, and the record is empty")
    return 0
