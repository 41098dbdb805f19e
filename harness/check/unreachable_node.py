"""`check`'s second way to a node that SSH does not reach: Azure's run-command, which can look and cannot measure."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from harness.cluster.cluster_under_test import ClusterUnderTest
from harness.core.errors import HarnessError
from harness.core.finding import Finding, Weight
from harness.hosts.host import Host

WHAT = "run-command"
REMOVAL = "what it installed goes with: az vm run-command invoke -g GROUP -n VM --command-id RemoveRunCommandLinuxExtension"
_NOT_MEASURED = "the paths that begin there, its packets and its clock are left out: run-command streams nothing, and takes seconds"


_NOT_CHOSEN = "SSH does not reach it; Azure's run-command was not used: it runs as root, and installs an extension, which stays"


@contextmanager
def run_command_fallback(subject: ClusterUnderTest, *, chosen: bool) -> Iterator[tuple[dict[str, Host], list[Finding]]]:
    """What reads each node that is absent, and a finding for each that says so, or why it cannot be read that way either.

    Where every node was reached nothing is asked, and no time is taken; nor where nobody chose it, because the first run-command installs
    an extension in the machine, which stays there: then it is only told that there is this way. The client is not read: it tells nothing
    but its clock.
    """
    cluster = subject.cluster
    absent_nodes = [node for node in cluster.nodes if node.name in subject.absent]
    if cluster.azure is None or not absent_nodes:
        yield {}, []
        return
    if not chosen:
        yield {}, [Finding(Weight.NOTE, node.name, WHAT, _NOT_CHOSEN, "give --run-command if that may be") for node in absent_nodes]
        return
    from harness.azure.run_command.run_command_fallback import read_unreachable  # only a cluster with [azure] needs the Azure packages

    with read_unreachable(cluster.azure, absent_nodes) as ways:
        hosts = {name: way for name, way in ways.items() if not isinstance(way, HarnessError)}
        yield hosts, [_finding(name, way) for name, way in ways.items()]


def _finding(name: str, way: Host | HarnessError) -> Finding:
    if isinstance(way, HarnessError):
        return Finding(Weight.NOTE, name, WHAT, str(way), "see that the machine runs, and that its agent does")
    says = f"SSH does not reach it, so it was read by Azure's run-command; {_NOT_MEASURED}"
    return Finding(Weight.NOTE, name, WHAT, says, f"fix the log-in by SSH to have them measured; {REMOVAL}")
