"""`lkharness lab snapshot …` and `lab nic …`: what only virtual machines can: stand still on the disk, and have a NIC's cable pulled."""

from __future__ import annotations

import argparse

from harness.commands.shared_options import add, print_json
from harness.core.errors import BadUse

SAVE_TIMEOUT_S = 900.0  # of several machines' memory, on a busy machine


def add_to(verbs) -> None:
    """Adds the commands to the parser."""
    snapshot = verbs.add_parser(
        "snapshot", help="keep a lab's virtual machines with their memory", epilog="example: lkharness lab snapshot take"
    )
    whats = snapshot.add_subparsers(title="what to do", metavar="WHAT", required=True, parser_class=type(snapshot))
    take_help = "keep the machines of a running lab: the next one of the same content goes on from there"
    _lab(add(whats, "take", _take, take_help, "lkharness lab snapshot take"))
    add(whats, "list", _list, "list the snapshots that there are, with their sizes", "lkharness lab snapshot list")
    remove = add(whats, "remove", _remove, "remove a snapshot", "lkharness lab snapshot remove 0123456789ab")
    remove.add_argument("snapshot", help="its key, as `lkharness lab snapshot list` shows it, or `all`")

    nic = add(verbs, "nic", _nic, "pull the cable of a machine's NIC, or put it in", "lkharness lab nic unplug lknode01.eth0")
    _lab(nic)
    nic.add_argument("to", choices=["unplug", "plug"])
    nic.add_argument("nic", metavar="HOST.NIC", help="which, such as lknode01.eth0")


def _lab(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", help="which lab (not needed when one is running)")


def _take(arguments: argparse.Namespace) -> int:
    from harness.lab.control import lab_registry
    from harness.lab.guests.machine import machine_snapshot
    from harness.lab.lifecycle import machine_launch

    lab = lab_registry.find(arguments.name)
    hosts = [host["name"] for host in lab.ask("status")["hosts"] if host["kind"] == "machine"]
    snapshot = machine_snapshot.keep(
        lab.folder, lab.name, hosts, lambda folder: lab.ask("save_machines", limit=SAVE_TIMEOUT_S, folder=str(folder))
    )
    machine_launch.set_clocks(lab, hosts)
    if arguments.json:
        print_json(_data(snapshot))
    else:
        took_s = snapshot.about["took_s"]
        print(f"{', '.join(hosts)} of the lab {lab.name!r} are kept as {snapshot.folder.name}: {_size(snapshot)}, in {took_s:.1f} s")
    return 0


def _list(arguments: argparse.Namespace) -> int:
    from harness.lab.guests.machine import machine_snapshot

    snapshots = machine_snapshot.snapshots()
    if arguments.json:
        print_json({"snapshots": [_data(snapshot) for snapshot in snapshots]})
    else:
        rows = [f"{s.folder.name}  {', '.join(s.about['hosts'])}  of the lab {s.about['lab']}  {_size(s)}" for s in snapshots]
        print("\n".join(rows) or "there is no snapshot; take one of a lab of virtual machines with `lkharness lab snapshot take`")
    return 0


def _remove(arguments: argparse.Namespace) -> int:
    from harness.lab.guests.machine import machine_snapshot

    snapshots = [s for s in machine_snapshot.snapshots() if arguments.snapshot in ("all", s.folder.name)]
    if not snapshots:
        raise BadUse(f"there is no snapshot {arguments.snapshot!r} here; `lkharness lab snapshot list` shows those there are")
    removed = [(_data(snapshot), f"removed {snapshot.folder.name}: {_size(snapshot)}") for snapshot in snapshots]
    for snapshot in snapshots:
        machine_snapshot.remove(snapshot)
    if arguments.json:
        print_json({"removed": [data for data, _ in removed]})
    else:
        print("\n".join(line for _, line in removed))
    return 0


def _nic(arguments: argparse.Namespace) -> int:
    from harness.lab.control import lab_registry

    host, dot, nic = arguments.nic.rpartition(".")  # a host's name may have dots
    if not dot:
        raise BadUse(f"{arguments.nic!r} is no NIC; write the host, a dot and the NIC, such as lknode01.eth0")
    lab_registry.find(arguments.name).ask("link", node=host, nic=nic, plugged=arguments.to == "plug")
    if arguments.json:
        print_json({"nic": arguments.nic, "plugged": arguments.to == "plug"})
    else:
        print(f"{arguments.nic} is {'plugged in' if arguments.to == 'plug' else 'unplugged'}")
    return 0


def _data(snapshot) -> dict:
    return {"key": snapshot.folder.name, "folder": snapshot.folder, "bytes": snapshot.bytes, **snapshot.about}


def _size(snapshot) -> str:
    return f"{snapshot.bytes / 1e6:.0f} MB"
