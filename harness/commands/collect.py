"""`lkharness collect`: evidence from all hosts of a cluster, in one archive without secrets."""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.commands import trust
from harness.commands.shared_options import add, add_cluster, cluster_file, print_json
from harness.core.errors import BadUse, ExitCode, Unusable

if TYPE_CHECKING:
    from harness.collect.collection_runner import Span
    from harness.config.cluster_config import Cluster
    from harness.hosts.host import Host

DEFAULT_SINCE_S = 30 * 60
MAX_CAPTURE_S = 60.0


def add_to(commands) -> None:
    """Adds the command to the parser."""
    description = "gather what all hosts of a cluster say into one archive for support, without secrets; changes nothing"
    collect = add(
        commands, "collect", _collect, description, "lkharness collect --cluster customer.toml --since 2h --output case-4711.tar.gz"
    )
    add_cluster(collect)
    collect.add_argument("--since", metavar="TIME", help="logs of the last 30m (the default), 2h, 1d …")
    collect.add_argument(
        "--from", dest="begin", metavar="TIME", help="logs from here on: 2026-03-01T14:00, with +01:00 or Z, or this machine's time"
    )
    collect.add_argument("--to", dest="end", metavar="TIME", help="logs until here (default: now)")
    collect.add_argument(
        "--capture", metavar="SECONDS", type=float, default=0.0, help="record packets, headers only, for so long (at most 60)"
    )
    collect.add_argument(
        "--hosts-only",
        action="store_true",
        help="ask hosts and the cluster manager only: try no path, as `check` does, and watch no packet",
    )
    collect.add_argument(
        "--run-command",
        action="store_true",
        help="read a host that SSH does not reach by Azure's run-command, as root; that installs an extension in the machine, which stays",
    )
    collect.add_argument("--output", metavar="FILE.tar.gz", help="where to (default: lkharness-CLUSTER-TIME.tar.gz here)")
    trust.add_option(collect)


def _collect(arguments: argparse.Namespace) -> int:
    from harness.check.cluster_check import observed
    from harness.collect.bundle import Bundle
    from harness.collect.collection_runner import gather
    from harness.config import cluster_config
    from harness.config.trust import refusal
    from harness.core.timeline import Timeline
    from harness.hosts.ssh.ssh_host import connect_all
    from harness.managers.manager_registry import manager_of

    span = span_of(arguments, time.time())
    file = cluster_file(arguments.cluster)
    cluster, data = cluster_config.load_with_data(file, trusted=arguments.trust_cluster_file, only_looked_at=True)
    output = _output(arguments.output, cluster.name)
    connected: dict[str, Host] = dict(connect_all(cluster, Timeline()))
    try:
        with _readable(cluster, connected, run_command=arguments.run_command) as hosts:
            observe = None if arguments.hosts_only else lambda: observed(cluster, file)
            make = partial(Bundle, output)
            index = gather(cluster, data, hosts, manager_of(cluster, hosts), span, make, observe=observe)
    finally:
        for host in connected.values():
            host.close()
    hosts_reached = [h for h in index["hosts"] if h["reached"]]
    exit_code = int(ExitCode.PASSED if hosts_reached else ExitCode.UNUSABLE)
    if arguments.json:
        error = {} if hosts_reached else {"error": "no host was reached", "exit_code": exit_code}
        print_json({"bundle": str(output), "bytes": output.stat().st_size, "index": index, **error})
    else:
        print(_as_text(index, output))
    if cluster.left_out:
        print(f"lkharness: left out, because {refusal(list(cluster.left_out), file)}", file=sys.stderr)
    return exit_code


def _readable(cluster: Cluster, hosts: dict[str, Host], *, run_command: bool) -> AbstractContextManager[dict[str, Host]]:
    """The hosts, and by Azure's run-command, if a person chose that, those that SSH does not reach."""
    if cluster.azure is None or not run_command:
        return nullcontext(hosts)
    from harness.azure.run_command.run_command_fallback import readable_hosts  # only a cluster with [azure] needs the Azure packages

    return readable_hosts(cluster, hosts, lambda text: print(text, file=sys.stderr))


def span_of(arguments: argparse.Namespace, now: float) -> Span:
    """The time window that the options ask for. Raises BadUse."""
    from harness.collect.collection_runner import Span
    from harness.core.time_span import parse_time_span

    if arguments.since and (arguments.begin or arguments.end):
        raise BadUse("--since and --from or --to are both given; keep one")
    if arguments.end and not arguments.begin:
        raise BadUse("--to needs --from; say when the window begins")
    if not 0 <= arguments.capture <= MAX_CAPTURE_S:
        raise BadUse(f"--capture {arguments.capture:g}: 0 to {MAX_CAPTURE_S:g} seconds can be recorded")
    end = _moment("--to", arguments.end) if arguments.end else now
    begin = (
        _moment("--from", arguments.begin)
        if arguments.begin
        else now - (parse_time_span("--since", arguments.since) if arguments.since else DEFAULT_SINCE_S)
    )
    if begin >= end:
        raise BadUse("the time window is empty: its beginning is not before its end (the end is now when there is no --to)")
    return Span(begin, end, arguments.capture)


def _moment(option: str, text: str) -> float:
    from datetime import datetime

    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        raise BadUse(f"{option} {text}: is no time; write 2026-03-01T14:00 or 2026-03-01T14:00:00+01:00") from None


def _output(name: str | None, cluster: str) -> Path:
    from datetime import UTC, datetime

    from harness.core.files import folder_exists, path_exists

    output = Path(name or f"lkharness-{cluster}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.tar.gz")
    if not output.name.endswith((".tar.gz", ".tgz")):
        raise BadUse(f"--output {output}: a bundle is a .tar.gz; let its name end so")
    if path_exists(output):
        raise BadUse(f"--output {output}: is there already; name another file, or remove it")
    if not folder_exists(output.parent):
        raise Unusable(f"--output {output}: there is no folder {output.parent}; make it, or name another place")
    return output


def _as_text(index: dict[str, Any], output: Path) -> str:
    from harness.core.text.host_text import one_line
    from harness.core.text.wording import count

    lines = []
    for host in index["hosts"]:
        if not host["reached"]:
            lines.append(f"{host['name']}: could not be reached, nothing of it is in the bundle: {host['why']}")
            continue
        lines.append(f"{host['name']}: {count(len(host['files']), 'file')}")
        lines += [f"  {fault['name']} is missing: {fault['why']}" for fault in host["faults"]]
        lines += [f"  {file['path'].rpartition('/')[2]}: {file['note']}" for file in host["files"] if "limit" in file["note"]]
    lines += index["notes"]
    if "observed" in index:
        observations = index["observed"]
        sentence = (
            f"paths were tried as `check` does: {count(len(observations['paths']), 'path')}"
            if "paths" in observations
            else f"paths were not tried: {observations['why']}"
        )
        lines.append(sentence)
    hosts_reached = sum(h["reached"] for h in index["hosts"])
    lines.append(
        f"{output} ({output.stat().st_size} bytes) holds what {hosts_reached} of {count(len(index['hosts']), 'host')} said; "
        f"secrets were removed in {count(index['secrets_removed'], 'place')}; open its index.html, and look through it before you send it"
    )
    return "\n".join(one_line(line) if not line.startswith("  ") else f"  {one_line(line)}" for line in lines)
