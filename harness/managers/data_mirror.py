"""Is the standby's copy of the data complete, and is it a copy of the active node's? By the command that the cluster file names."""

from __future__ import annotations

import re
from collections.abc import Mapping

from harness.config.cluster_config import Cluster
from harness.core.errors import HarnessError
from harness.hosts.host import Host
from harness.hosts.root_rights import as_root
from harness.managers.manager import Answer, answer
from harness.managers.switchover_readiness import last_words

NOT_RUN = re.compile(
    r"(?:CommandNotFoundException|ApplicationFailedException|NativeCommandFailed|PSSecurityException|UnauthorizedAccess)\b"
)


def check_mirror(cluster: Cluster, hosts: Mapping[str, Host], to: str, copiers: Answer | tuple[str, ...], limit: float) -> Answer:
    """`copiers`: the resources that copy data, or why that is not known."""
    words, active = cluster.manager.mirror_check, cluster.peer_of(to).name
    if not words:
        if isinstance(copiers, Answer):
            return copiers
        copies = (
            f"{', '.join(copiers)} copies data to the other node, and no manager.mirror_check tells whether the copy on {to} is complete"
        )
        return answer([], [copies] if copiers else [])
    command = [word.replace("{to}", to) for word in words]
    on_windows = cluster.node(active).platform == "windows"
    try:
        result = hosts[active].run(command if on_windows else as_root(command), limit=limit)
    except HarnessError as error:  # sudo's refusal, too
        return answer([], [f"{active}: whether the copy on {to} is complete could not be asked: {error}"])
    if result.ok:
        return answer([])
    message = last_words(result.err, result.out)
    # A call of PowerShell's that could not be made has the exit code of one that was, and says so by its error's id.
    if result.exit in (126, 127) or (on_windows and NOT_RUN.match(result.err.lstrip())):
        return answer([], [f"{active}: manager.mirror_check could not be run (exit {result.exit}); it said: {message}"])
    return answer([f"{active}: the copy of the data on {to} is not complete, or goes the other way (manager.mirror_check said: {message})"])
