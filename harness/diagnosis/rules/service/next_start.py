"""What the data folder of a server that runs says of its next start: on the other node, after a failover, too. Of PostgreSQL."""

from __future__ import annotations

import re
from collections.abc import Iterator

from harness.config.cluster_config import Service
from harness.diagnosis.cause import Cause, Certainty
from harness.diagnosis.evidence import Evidence, HostSeen, Socket
from harness.diagnosis.rules.host.shared_disks import FOR_SEVERAL, all_places, is_below
from harness.diagnosis.rules.service.terminal_sessions import OF_A_CONTAINER
from harness.hosts.linux.postgres_data_folder import MIN_GROUP_MAY_READ, MIN_SIGNAL_FILES, DataFolder

WRITABLE_OR_OTHERS, ANYBODY_ELSE = 0o027, 0o077  # bits that a data folder may not have: since the group may read it, and before
READ_BY_OWNER, READ_BY_OTHERS = 0o400, 0o044
NEEDED = ("PG_VERSION", "postgresql.conf", "postgresql.auto.conf", "pg_hba.conf")  # without reading these it does not start
IN_RECOVERY = "in recovery"  # as the harness says of a server that is a standby
_WORD = {"type": "first word (local, host, hostssl)", "method": "method"}
LISTENS = re.compile(r"(?:^|\s)(?:-c\s*|--)listen[_-]addresses=(\S+)|(?:^|\s)-h\s*(\S+)")
PORTS = re.compile(r"(?:^|\s)(?:(?:-c\s*|--)port=|-p\s*)(\d{1,5})(?!\S)")
NEXT = "at its next start, after a failover too,"


def causes(evidence: Evidence) -> Iterator[Cause]:
    """A container's own start may set its folder right, so that nothing is said of these."""
    for _, host in evidence.nodes:
        for service in evidence.cluster.services:
            yield from _start_options(evidence, host, service)
            for listener in host.listening(service.port):
                pid = listener.pid or 0
                data = host.data_folders.get(pid)
                if data is None or OF_A_CONTAINER.search(host.control_groups.get(pid, "")):
                    continue
                uids = host.accounts.get(service.port, frozenset())
                if len(uids) == 1:
                    yield from _rights(host, service, data, *uids)
                yield from _signal_files(evidence, host, service, data)
                yield from _no_host_rules(host, service, data)
                yield from _wrong_files(host, service, data)
                if host.name == evidence.active:
                    yield from _left_behind(evidence, host, service, listener, data)


def _start_options(evidence: Evidence, host: HostSeen, service: Service) -> Iterator[Cause]:
    """What the cluster manager starts the server with on that node stands above its files (Pacemaker's parameter start_opt)."""
    options = host.units.get(f"start options {service.tag}", "")
    addresses = [a for match in LISTENS.finditer(options) for a in (match[1] or match[2]).strip("'\"").split(",") if a]
    ports = [match[1] for match in PORTS.finditer(options)]
    wrong = (
        [f"listen_addresses {', '.join(addresses)}, by which nobody else reaches it"]
        if addresses and all(map(_is_loopback, addresses))
        else []
    )
    wrong += [f"the port {ports[-1]}, and not {service.port}"] if ports and ports[-1] != str(service.port) else []
    if wrong:
        when = "after a failover" if host.name == evidence.standby else "from its next start on"
        yield Cause(
            f"the cluster manager starts {service.tag} on {host.name} with {' and '.join(wrong)} (start_opt): {when} {service.name} (port "
            f"{service.port}) serves nobody there",
            host.name,
            Certainty.LIKELY,
            f"correct the parameter start_opt of {service.tag} (a set of parameters with a rule may be about {host.name} alone)",
            (f"the cluster's configuration on {host.name}: {service.tag}, start_opt: {options[:200]}",),
        )


def _is_loopback(address: str) -> bool:
    return address in ("localhost", "::1") or address.startswith("127.")


def _rights(host: HostSeen, service: Service, data: DataFolder, uid: int) -> Iterator[Cause]:
    """PostgreSQL looks at its folder's owner and mode as it starts, and never again."""
    mode, owner = data.files.get(".", (0o700, uid))
    grouped = data.version is None or data.version >= MIN_GROUP_MAY_READ
    runs_as = f"{host.account_names.get(uid, 'the account')} (uid {uid})"
    wrong = [f"belongs to uid {owner}, and the server runs as {runs_as}"] if owner != uid else []
    if mode & (WRITABLE_OR_OTHERS if grouped else ANYBODY_ELSE):
        wrong.append(f"has the mode {mode:o}, and PostgreSQL starts with {'700 or 750' if grouped else '700'} only")
    if wrong:
        yield Cause(
            f"{data.folder}, where {service.name} (port {service.port}) works, {' and '.join(wrong)}: {NEXT} it would not start",
            host.name,
            Certainty.CERTAIN,
            f"on {host.name}: {f'`chown {uid} {data.folder}`' if owner != uid else f'`chmod 700 {data.folder}`'}; see who changed it, and "
            "what else in that folder he did",
            (f"`stat` of {data.folder} on {host.name}: mode {mode:o}, uid {owner}",),
        )
    for name in NEEDED:
        mode, owner = data.files.get(name, (READ_BY_OWNER, uid))
        if uid != 0 and not mode & (READ_BY_OWNER if owner == uid else READ_BY_OTHERS):
            yield Cause(
                f"{data.folder}/{name} may not be read by {runs_as}, as which {service.name} (port {service.port}) runs (mode {mode:o}, "
                f"uid {owner}): {NEXT} it would not start",
                host.name,
                Certainty.CERTAIN if owner == uid else Certainty.LIKELY,
                f"on {host.name}: `chown {uid} {data.folder}/{name} && chmod 600 {data.folder}/{name}`; see who changed it",
                (f"`stat` of {data.folder}/{name} on {host.name}: mode {mode:o}, uid {owner}",),
            )


def _signal_files(evidence: Evidence, host: HostSeen, service: Service, data: DataFolder) -> Iterator[Cause]:
    """They are read at a start alone. A replica has one by right, and so has what is being restored."""
    paths = [p for p in evidence.paths if p.service.name == service.name and (p.nodes == {host.name} or p.origin == host.name)]
    if any(IN_RECOVERY in f"{p.identity} {p.reason}" for p in paths):
        return
    takes_writes = service.kind == "postgres" and host.name == evidence.active and any(p.outcome == "pass" for p in paths)
    signals = data.version is not None and data.version >= MIN_SIGNAL_FILES
    for name in ("standby.signal", "recovery.signal", "recovery.conf"):
        if name not in data.files or data.version is None or (name.endswith(".signal") and not signals):
            continue
        then = "it would not start" if name == "recovery.conf" and signals else "it comes up in recovery, and takes no writes"
        yield Cause(
            f"{name} lies in {data.folder}, where {service.name} (port {service.port}) works: {NEXT} {then}",
            host.name,
            (Certainty.CERTAIN if signals else Certainty.LIKELY) if takes_writes else Certainty.POSSIBLE,
            f"if {service.name} is to be no replica, and nothing is being restored there, move {data.folder}/{name} out of that folder",
            (
                f"`stat` of {data.folder}/{name} on {host.name}: it is there",
                *(f"asked on the path {p.path}: {p.identity or 'it takes writes'}" for p in paths if takes_writes and p.outcome == "pass"),
            ),
            "" if takes_writes else "it is a replica, which has that file by right",
        )


def _no_host_rules(host: HostSeen, service: Service, data: DataFolder) -> Iterator[Cause]:
    if data.lacks_host_rules:
        yield Cause(
            f"{data.folder} has no pg_hba.conf, where {service.name} (port {service.port}) works: {NEXT} it would not start",
            host.name,
            Certainty.LIKELY,
            f"bring {data.folder}/pg_hba.conf back from a backup, readable by the server's account alone (mode 600); the running server "
            "still knows what was in it (`select * from pg_hba_file_rules` reads the file anew, and does not show that)",
            (
                f"`stat` of {data.folder}/pg_hba.conf on {host.name}: not there",
                "postgresql.conf and postgresql.auto.conf in that folder set no hba_file, and include no other file",
            ),
        )


def _wrong_files(host: HostSeen, service: Service, data: DataFolder) -> Iterator[Cause]:
    """What was written since the last start, and that start would not have taken."""
    rules = [f"line {n}: the {_WORD[word]} is none" for n, word in data.wrong_rules]
    for what, words in (("configuration", data.wrong_settings), ("pg_hba.conf", rules)):
        if words:
            yield Cause(
                f"the {what} in {data.folder} was changed, and {service.name} (port {service.port}) runs with what it was: {NEXT} it "
                f"would not start with it: {'; '.join(words)}",
                host.name,
                Certainty.LIKELY,
                "put that right in the file, then reload (`select pg_reload_conf()`) and see what the server's log says of it; "
                "`select * from pg_file_settings` and `pg_hba_file_rules`, as a superuser, read the files and change nothing",
                (f"files in {data.folder} on {host.name} that are newer than the server's start: {'; '.join(words)}",),
                explains=(f"service {service.name}:next start",),
            )


def _left_behind(evidence: Evidence, host: HostSeen, service: Service, listener: Socket, data: DataFolder) -> Iterator[Cause]:
    """The data move with a disk of the cluster's, and a link leads to what does not."""
    places = {place.rstrip("/") for place in all_places(evidence).values()}
    if evidence.moved or not any(is_below(data.folder, place) for place in places):
        return
    standby = evidence.hosts.get(evidence.standby or "")
    for name, target in data.links.items():
        mount = max((m for m in host.mounts if is_below(target, m)), key=len, default="/")
        if any(is_below(target, place) for place in places) or FOR_SEVERAL.fullmatch(host.mounts.get(mount, "")):
            continue
        # A file system of its own there that the standby has not mounted may well move by something that is not known here.
        alone = mount != "/" and (standby is None or mount not in standby.mounts)
        yield Cause(
            f"{data.folder}/{name} leads to {target}, which is on no file system of the cluster's: after a failover {service.name} "
            f"(port {service.port}) would not find there what it has written, and would not start or lack tables",
            host.name,
            Certainty.POSSIBLE if alone else Certainty.LIKELY,
            f"in a quiet hour, with {service.tag} stopped, move {target} to the disk that moves with {data.folder}, and let the link lead "
            "there; or have the cluster manager move the disk that it is on",
            (
                f"/proc/{listener.pid}/cwd on {host.name}: {data.folder}, below a file system of the cluster manager's",
                f"{name} in it leads to {target}, on the file system of {mount} ({host.mounts.get(mount, 'its kind was not told')})",
            ),
            f"{mount} moves by something beside the cluster manager's file systems" if alone else "",
        )
