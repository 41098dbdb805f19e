"""`lkharness lab …`: bring a lab up, look at it, go into it, take it down."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.commands.lab import lab_azure, lab_capture, lab_image, lab_machines
from harness.commands.shared_options import add, print_json
from harness.core.errors import BadUse, Unusable

if TYPE_CHECKING:
    from harness.collect.lab_from_bundle import Shape
    from harness.config.cluster_config import Cluster


def add_to(commands) -> None:
    """Adds the command and its verbs to the parser."""
    lab = commands.add_parser(
        "lab", help="a test cluster on this machine, of namespaces, containers or virtual machines", epilog="example: lkharness lab up"
    )
    lab.set_defaults(needs_linux=True)
    verbs = lab.add_subparsers(title="what to do", metavar="VERB", required=True, parser_class=type(lab))

    _add_up(verbs)
    status_help = "show who is active, who holds the VIP, and what the balancer believes"
    _name(add(verbs, "status", _status, status_help, "lkharness lab status --json"))
    _name(add(verbs, "down", _down, "take a lab down", "lkharness lab down"))
    add(verbs, "clean", _clean, "remove what dead labs of yours left on disk", "lkharness lab clean").set_defaults(name=None)
    _add_ways_in(verbs)
    _add_changes(verbs)
    lab_azure.add_to(verbs)
    lab_image.add_to(verbs)
    lab_capture.add_to(verbs)
    lab_machines.add_to(verbs)


def _add_up(verbs) -> None:
    up = add(verbs, "up", _up, "bring a lab up and leave it running", "lkharness lab up --design floating --name second")
    up.add_argument("--file", metavar="FILE", help="a cluster file, whose values override the default cluster's")
    up.add_argument("--design", choices=["nat", "floating"], help="floating IP off (nat, the default) or on")
    up.add_argument("--profile", choices=["fast", "azure"], help="timers: fast (the default), or Azure's and LifeKeeper's own")
    up.add_argument(
        "--manager",
        choices=["lifekeeper", "pacemaker", "wsfc"],
        help="a stand-in for LifeKeeper (the default), Pacemaker itself, or with --platform windows a stand-in for Windows' own",
    )
    up.add_argument("--platform", choices=["linux", "windows"], help="what the nodes are: Linux (the default), or stand-ins for Windows")
    up.add_argument("--guests", choices=["namespace", "container", "machine"], help="what the nodes are made of (default: namespaces)")
    up.add_argument("--like", metavar="BUNDLE", help="a replica of the cluster that `lkharness collect` wrote this bundle of")
    up.add_argument(
        "--azure", action="store_true", help="beside the lab, a stand-in for Azure's management API, and an [azure] table for it"
    )
    up.add_argument("--fresh", action="store_true", help="boot virtual machines anew, though there is a snapshot of them")
    up.add_argument("--name", default="lab", help="several labs can be up at once, each with its name (default: lab)")


def _add_ways_in(verbs) -> None:
    """Adds ssh and exec."""
    ssh = add(
        verbs, "ssh", _ssh, "log in to a host of the lab", "lkharness lab ssh lknode01 /opt/LifeKeeper/bin/lcdstatus -q", has_json=False
    )
    _name(ssh)
    ssh.add_argument("host")
    ssh.add_argument("words", nargs=argparse.REMAINDER, metavar="COMMAND", help="a command to run there instead of a shell")

    execute = add(
        verbs,
        "exec",
        _exec,
        "run a command in a host (by SSH only where it is a virtual machine)",
        "lkharness lab exec lknode01 -- ip addr",
    )
    _name(execute)
    execute.add_argument("host")
    execute.add_argument("words", nargs=argparse.REMAINDER, metavar="COMMAND", help="what to run (default: a shell)")


def _add_changes(verbs) -> None:
    """Adds what changes a running lab: power and NSG rules."""
    power = add(
        verbs,
        "power",
        _power,
        "cut, restore or reset a host's power, shut it down, freeze or thaw it",
        "lkharness lab power off lknode01 --for 30",
    )
    _name(power)
    power.add_argument("to", choices=["off", "on", "reboot", "shutdown", "freeze", "thaw"])
    power.add_argument("host")
    power.add_argument(
        "--for", dest="seconds", type=float, metavar="SECONDS", help="with off, reboot and freeze: the lab itself undoes it after that time"
    )

    nsg = add(verbs, "nsg", _nsg, "show or replace the NSG rules of a NIC or subnet", "lkharness lab nsg lknode01.eth0 rules.json")
    _name(nsg)
    nsg.add_argument("place", nargs="?", help="a NIC (lknode01.eth0) or a subnet (subnet1)")
    nsg.add_argument("rules", nargs="?", help="a JSON file with a list of rules; `none` leaves the default rules only")


def _name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", help="which lab (not needed when one is running)")


def _lab_settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """What the lab is to be. Raises BadUse with every fault of the file, by the file's own name, before anything is made."""
    from harness.config import cluster_config
    from harness.lab import lab_config
    from harness.lab.lifecycle import default_cluster

    file = Path(arguments.file or "the lab's default cluster")
    data = cluster_config.read(file) if arguments.file else {}
    if arguments.design:
        data = {**data, "design": arguments.design}
    data = default_cluster.with_platform(data, arguments.platform, arguments.manager)
    if arguments.guests:
        data = default_cluster.with_guests(data, arguments.guests, azure=arguments.azure)
    lab = data.get("lab", {})
    complaints = []
    # A profile that there is not would keep the rest of the file from being looked at.
    profile_is_known = isinstance(lab, dict) and lab.get("profile", "fast") in list(default_cluster.PROFILES)
    settings = (
        default_cluster.cluster_data(arguments.profile, data)
        if profile_is_known
        else default_cluster.cluster_data("fast", {**data, "lab": {}})
    )
    for parse in (
        lambda: cluster_config.parse(settings, file),
        lambda: lab_config.parse(lab if isinstance(lab, dict) else {"profile": lab}, file),
    ):
        try:
            parse()
        except BadUse as fault:
            complaints.append(str(fault))
    if complaints:
        raise BadUse("\n".join(complaints))
    lab_config.make_lab_config(
        cluster_config.parse(settings, file), file
    )  # what no lab can carry, by the file's own name and not by that of the lab's copy
    return settings


def _up(arguments: argparse.Namespace) -> int:
    from harness.config import cluster_config, trust
    from harness.core import package_data
    from harness.core.toml_file import content
    from harness.lab.guests.host_provisioning import stand_in_note
    from harness.lab.lifecycle import launch

    shape = _read_shape(arguments) if arguments.like else None
    data = shape.data if shape else _lab_settings(arguments)
    # What somebody else's file asks of this machine is not agreed to by bringing up a lab of it.
    agreed = not trust.trust_requests(data) or bool(arguments.file and trust.is_agreed(content(Path(arguments.file))))
    lab = launch.up(
        data, name=arguments.name, persistent=True, progress=_progress, azure=arguments.azure, agreed=agreed, may_resume=not arguments.fresh
    )
    record = lab.record
    in_service_s = lab.timings["in_service_s"]
    cluster, suite = cluster_config.load(record.cluster_file), package_data.suite_command("acceptance")
    differs: list[str] = []
    if shape:
        from harness.lab.lifecycle import bundle_reproduction

        differs = shape.differs + bundle_reproduction.apply(record, cluster, shape)
    if arguments.json:
        outcome = {"name": record.name, "pid": record.pid, "cluster_file": record.cluster_file, "in_service_s": in_service_s}
        azure = cluster.azure.model_dump(mode="json", exclude_defaults=True) if cluster.azure else None
        print_json({**outcome, "azure": azure, "differs": differs})
        return 0
    for sentence in differs:
        print(f"  differs from {arguments.like}: {sentence}")
    print(
        f"the lab {record.name!r} is in service after {in_service_s:.1f} s; its first process is {record.pid}\n"
        f"  cluster file   {record.cluster_file}\n"
        f"  log in         lkharness lab ssh{_and_name(arguments.name)} {cluster.nodes[0].name}\n"
        f"  look at it     lkharness lab status{_and_name(arguments.name)}\n"
        f"  check it       lkharness check --cluster {record.cluster_file}\n"
        f"  run the suite  {suite} --cluster {record.cluster_file} --allow-disruption   (report: reports/latest/report.html)\n"
        f"{_azure_lines(cluster)}"
        f"  take it down   lkharness lab down{_and_name(arguments.name)}\n"
        f"{stand_in_note(cluster)}"
    )
    return 0


def _azure_lines(cluster: Cluster) -> str:
    if cluster.azure is None:
        return ""
    table = cluster.azure.model_dump(mode="json", exclude_defaults=True)
    lines = [f"  Azure's API    {cluster.azure.resource_manager} (a stand-in; only the lab is behind it); the file's [azure] table:"]
    return "\n".join([*lines, *(f"    {key} = {json.dumps(value)}" for key, value in table.items())]) + "\n"


def _read_shape(arguments: argparse.Namespace) -> Shape:
    """What a bundle asks for. Raises BadUse for what is no bundle, and for options that would contradict it."""
    from harness.collect import bundle, lab_from_bundle
    from harness.config import cluster_config
    from harness.lab import lab_config
    from harness.lab.lifecycle import bundle_reproduction, default_cluster

    for option in ("file", "design", "profile", "manager", "platform", "guests"):
        if getattr(arguments, option):
            raise BadUse(f"--{option} does not go with --like: the bundle says what the lab is to be")
    file = Path(arguments.like)
    of_kind = {service["kind"]: service.get("settings", {}) for service in default_cluster.DEFAULT_CLUSTER["services"]}
    shape = lab_from_bundle.shape_of(*bundle.read(file), of_kind)
    shape.data = {"name": arguments.name, **shape.data}
    bundle_reproduction.suspend_checks(shape)
    lab_config.make_lab_config(cluster_config.parse(shape.data, file), file)
    return shape


def _and_name(name: str) -> str:
    return "" if name == "lab" else f" --name {name}"


def _progress(text: str) -> None:
    print(f"  {text}", file=sys.stderr, flush=True)


def _status(arguments: argparse.Namespace) -> int:
    from harness.lab.lifecycle import lab_status

    state = lab_status.read_status(arguments.name)
    if arguments.json:
        print_json(state)
    else:
        print(lab_status.text(state))
    return 0


def _down(arguments: argparse.Namespace) -> int:
    from harness.lab.control import lab_registry

    lab = lab_registry.find(arguments.name)
    lab.end()
    if arguments.json:
        print_json({"name": lab.name, "is_down": True})
    else:
        print(f"the lab {lab.name!r} is down")
    return 0


def _clean(arguments: argparse.Namespace) -> int:
    from harness.lab.control import lab_registry

    dead_labs = [lab for lab in lab_registry.all_labs() if not lab.alive and not lab.starting]
    for lab in dead_labs:
        lab.end()
    logs = list(lab_registry.state_folder().glob("*.failed.log"))
    for log in logs:
        log.unlink()
    containers = _remove_orphans()
    if arguments.json:
        print_json({"labs": [{"name": lab.name, "folder": lab.folder} for lab in dead_labs], "logs": logs, "containers": containers})
        return 0
    lines = [f"removed what the lab {lab.name!r} left in {lab.folder}" for lab in dead_labs]
    lines += [f"removed {log}, the log of a lab that did not come up" for log in logs]
    lines += [f"removed the container {container}, whose lab and keeper were killed" for container in containers]
    print("\n".join(lines) or "there is nothing to clean")
    return 0


def _remove_orphans() -> list[str]:
    """Removes the containers of labs that were killed together with their keepers; returns their ids."""
    from harness.lab.guests.container_keeper import leftovers, orphaned_folders
    from harness.lab.guests.images import container_engine

    try:
        engine = container_engine.demand()
    except Unusable:
        return []  # nobody here could have made one
    import shutil

    container_ids = leftovers(engine)
    engine.remove(container_ids)
    for folder in orphaned_folders():
        shutil.rmtree(folder)
    return container_ids


def _ssh(arguments: argparse.Namespace) -> int:
    from harness.config import cluster_config
    from harness.lab.control import lab_registry

    lab = lab_registry.find(arguments.name)
    if not lab.alive:
        raise Unusable(f"the lab {lab.name!r} is not running; bring it up with `lkharness lab up --name {lab.name}`")
    machines = {m.name: m.ssh for m in cluster_config.load(lab.cluster_file).machines}
    if arguments.host not in machines:
        raise BadUse(f"there is no host {arguments.host!r} in the lab {lab.name!r}; there are {', '.join(machines)}")
    ssh = machines[arguments.host]
    command = [
        *("ssh", "-i", str(ssh.key), "-p", str(ssh.port), "-o", "IdentitiesOnly=yes"),
        *("-o", f"UserKnownHostsFile={ssh.known_hosts}", "-o", "StrictHostKeyChecking=yes", "-o", "LogLevel=ERROR"),
        *(f"{ssh.user}@{ssh.host}", *_after_dashes(arguments.words)),
    ]
    os.execvp("ssh", command)


def _exec(arguments: argparse.Namespace) -> int:
    from harness.lab.control import lab_registry, nsenter

    lab = lab_registry.find(arguments.name)
    command = nsenter.command(lab, arguments.host, _after_dashes(arguments.words) or ["bash", "-l"], terminal=sys.stdin.isatty())
    if arguments.json:
        return _exec_for_a_program(arguments.host, command)
    sys.stdout.flush()
    os.execvp(command[0], command)


def _exec_for_a_program(host: str, command: list[str]) -> int:
    """The command's output and exit code in one object; the exit code is the command's own."""
    import subprocess

    completed = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    code = completed.returncode if completed.returncode >= 0 else 128 - completed.returncode
    texts = {name: text.decode(errors="replace") for name, text in (("stdout", completed.stdout), ("stderr", completed.stderr))}
    print_json({"host": host, "exit_code": code, **texts})
    return code


def _after_dashes(arguments: list[str]) -> list[str]:
    return arguments[1:] if arguments[:1] == ["--"] else arguments


def _power(arguments: argparse.Namespace) -> int:
    from harness.lab.control import lab_registry

    lab = lab_registry.find(arguments.name)
    state, silenced = lab.set_power(arguments.host, arguments.to, arguments.seconds), None
    if not arguments.json:
        print(f"{arguments.host} is {state}")
    if arguments.to in ("off", "reboot", "freeze"):
        silenced = next(h["silenced"] for h in lab.ask("status")["hosts"] if h["name"] == arguments.host)
    if arguments.json:
        print_json({"host": arguments.host, "state": state, "moment": silenced})
    elif silenced:  # the harness takes this as the moment of the disruption
        print(f"moment {silenced[0]:.6f} {silenced[1]:.6f}")
    return 0


def _nsg(arguments: argparse.Namespace) -> int:
    from harness.lab.control import lab_registry

    rules = None
    if arguments.rules:
        try:
            rules = [] if arguments.rules == "none" else json.loads(Path(arguments.rules).read_text())
        except (OSError, ValueError) as error:
            raise BadUse(f"{arguments.rules}: {error}; give a JSON file with a list of rules") from error
    compiled_rules = lab_registry.find(arguments.name).ask("nsg", place=arguments.place, rules=rules)
    if arguments.json:
        print_json({"place": arguments.place, "rules": compiled_rules})
    else:
        print(json.dumps(compiled_rules, indent=2, default=str))
    return 0
