"""What is in a role of a Windows Server Failover Cluster: may the cluster move it, and does something in it copy data? Pure."""

from __future__ import annotations

from harness.managers.parse.wsfc_parse import Rows, same, word
from harness.managers.switchover_readiness import Case

AVAILABILITY_GROUP = "SQL Server Availability Group"  # the type's name [from memory]
COPIES = ("DataKeeper Volume", "Storage Replica", AVAILABILITY_GROUP)  # the first by WCLU-43, the second [from memory]
# Windows' own and SQL Server's, of which none copies data to another node.
COPIES_NOT = (
    *("IP Address", "IPv6 Address", "Network Name", "Distributed Network Name", "Physical Disk", "File Server", "Generic Service"),
    *("Generic Application", "Generic Script", "SQL Server", "SQL Server Agent", "Distributed Transaction Coordinator"),
)


def types_of(group: str, rows: Rows) -> dict[str, str]:
    """The role's resources and their types; an empty type was not told."""
    return {word(row.get("Name")): word(row.get("Type")) for row in rows.of("resource") if same(row.get("OwnerGroup"), group)}


def by_availability_group(group: str, rows: Rows) -> Case:
    """The cluster knows nothing of whether replicas are synchronous, and SQL Server sets who may own them: only SQL Server moves such a
    role (WCLU-106)."""
    return Case(
        against=[
            f"the role {group} holds the availability group {name}, which only SQL Server may move (ALTER AVAILABILITY GROUP … FAILOVER, "
            "or Management Studio), never the cluster (facts WCLU-106)"
            for name, type_ in types_of(group, rows).items()
            if same(type_, AVAILABILITY_GROUP)
        ]
    )


def by_copies(to: str, group: str, rows: Rows) -> Case:
    """Is the data on `to` complete? It is where nothing in the role copies any, as on a shared disk. What copies is shown online by the
    cluster though it does not (WCLU-43)."""
    case = Case()
    if rows.why:
        case.unknown.append(f"{to}: {rows.why}")
        return case
    types = types_of(group, rows)
    if not types:
        case.unknown.append(f"the role {group} has no resource, so whether data is copied is not known")
    for name, type_ in types.items():
        if any(same(type_, known) for known in COPIES):
            case.unknown.append(f"{name} ({type_}) copies data, and no manager.mirror_check tells whether the copy on {to} is complete")
        elif not any(same(type_, known) for known in COPIES_NOT):
            kind = f"of the type {type_}" if type_ else "of a type that was not told"
            case.unknown.append(
                f"{name} is {kind}, and whether it copies data is not known (manager.mirror_check says whether the copy is complete)"
            )
    return case
