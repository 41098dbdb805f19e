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
    whats = azure.add_subparsers(title="what to do", metavar="WHAT", required=True, parser_class=type(azure))

    fault = add(whats, "fault", _fault, "switch a fault of the API on", "lkharness lab azure fault dropped-after --path powerOff --times 1")
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

    wrong = add(whats, "wrong", _wrong, "switch a misconfiguration on", "lkharness lab azure wrong floating-ip")
    _lab(wrong)
    wrong.add_argument("kind", nargs="*", help="which (without it: those there are, and those switched on)")

    requests = add(whats, "requests", _requests, "tell the requests received", "lkharness lab azure requests --method POST --path powerOff")
    _lab(requests)
    requests.add_argument("--method", default="", metavar="METHOD")
    requests.add_argument("--path", default="", metavar="REGEX")

    clear = add(whats, "clear", _clear, "switch every fault and misconfiguration off, and empty the record", "lkharness lab azure clear")
    _lab(clear)


def _lab(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", help="which lab (not needed when one is running)")


def _control_client(given: argparse.Namespace) -> ControlClient:
    from harness.config import cluster_config
    from harness.lab.azure.control_client import ControlClient
    from harness.lab.control import lab_registry

    lab = lab_registry.find(given.name)
    azure = cluster_config.load(lab.cluster_file).azure
    if azure is None:
        raise BadUse(f"the lab {lab.name!r} has no Azure beside it; bring it up with `lkharness lab up --azure`")
    return ControlClient(azure)


def _fault(given: argparse.Namespace) -> int:
    hand = _control_client(given)
    if given.kind is None:
        known = hand.faults()
        if given.json:
            print_json(known)
            return 0
        _print_kinds(known["kinds"])
        for fault in known["on"]:
            print(f"on: {fault['kind']} for {fault['method'] or 'any method'} {fault['path'] or 'any path'}, met by {fault['met']}")
        return 0
    options = {key: getattr(given, key) for key in ("method", "path", "times", "skip", "seconds", "retry_after")}
    fault = hand.fault(given.kind, **{key: value for key, value in options.items() if value is not None})
    if given.json:
        print_json({"fault": fault})
        return 0
    print(f"{fault['kind']} is on for {'all' if not fault['times'] else fault['times']} matching request(s)")
    return 0


def _wrong(given: argparse.Namespace) -> int:
    hand = _control_client(given)
    hand.wrong(*given.kind)
    known = hand.wrongs()
    if given.json:
        print_json(known)
        return 0
    if not given.kind:
        _print_kinds(known["kinds"])
    for kind in known["on"]:
        print(f"on: {kind}, {known['kinds'][kind]}")
    return 0


def _print_kinds(kinds: dict[str, str]) -> None:
    for kind, sentence in kinds.items():
        print(f"  {kind:<20} {sentence}")


def _requests(given: argparse.Namespace) -> int:
    found = _control_client(given).requests(given.method, given.path)
    if given.json:
        print_json({"requests": found})
    else:
        for request in found:
            fault = f"  ({request['fault']})" if request["fault"] else ""
            print(f"{request['at']:.3f}  {request['status'] or '---'}  {request['method']:<6} {request['path']}{fault}")
    return 0


def _clear(given: argparse.Namespace) -> int:
    _control_client(given).clear()
    if given.json:
        print_json({"faults": [], "wrongs": []})
    else:
        print("every fault and misconfiguration is off, and the record is empty")
    return 0
