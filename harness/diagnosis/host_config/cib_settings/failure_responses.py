"""What Pacemaker is told to do where a start or a stop fails, so that nothing fails over. Pure.

Pacemaker Explained, "Failure Response": a failed start bans the node at once unless start-failure-is-fatal is off, and then the
migration-threshold alone does; what on-fail says of an operation stands above both.
"""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree import ElementTree as xml

from harness.diagnosis.host_config.manager_settings import FALSE, Setting
from harness.diagnosis.host_config.pacemaker_cib import options as options_of
from harness.diagnosis.host_config.pacemaker_cib import pairs_of, root_of

NO_THRESHOLD = ("", "0", "infinity", "+infinity", "1000000")
CLONES = ("clone", "master", "bundle")
DOES = {
    ("start", "block"): "is left as it is: it stays stopped where it was to start, and is not tried on the other node",
    ("start", "ignore"): "is taken for a success: Pacemaker goes on as if it ran",
    ("start", "stop"): "stops it everywhere, for good",
    ("stop", "block"): "is left as it is: its node is not fenced, and nothing of what goes with it moves until somebody comes",
}


def of_pacemaker(configuration: str) -> tuple[Setting, ...]:
    """Nothing from what is no CIB."""
    root = root_of(configuration)
    if root is None:
        return ()
    return (*_tried_for_ever(root), *_left_alone(root))


def _tried_for_ever(root: xml.Element) -> Iterator[Setting]:
    options = options_of(root)
    if options.get("start-failure-is-fatal", "").lower() not in FALSE:
        return
    default = pairs_of(root, "configuration/rsc_defaults/meta_attributes").get("migration-threshold", "")
    parents = {child: parent for parent in root.iter() for child in parent}
    without: list[str] = []
    for primitive in root.iterfind("configuration/resources//primitive"):
        if primitive.get("class") == "stonith" or primitive.get("template") or parents[primitive].tag in CLONES:
            continue
        own, of_parent = (pairs_of(e, "meta_attributes").get("migration-threshold", "") for e in (primitive, parents[primitive]))
        if (own or of_parent or default).lower() in NO_THRESHOLD:
            without.append(primitive.get("id", ""))
    if without:
        yield Setting(
            f"start-failure-is-fatal is off, and {', '.join(without)} ha{'s' if len(without) == 1 else 've'} no migration-threshold: what "
            "fails to start is tried on the same node again and again, and nothing fails over",
            f"the cluster's properties: start-failure-is-fatal={options['start-failure-is-fatal']}",
            "give the resources a migration-threshold (3, for instance), or take start-failure-is-fatal away (its default is true)",
            without[0],
        )


def _left_alone(root: xml.Element) -> Iterator[Setting]:
    """Of a clone or a promotable resource guides have it so, for a person to look first."""
    fences = options_of(root).get("stonith-enabled", "").lower() not in FALSE
    usual = pairs_of(root, "configuration/op_defaults/meta_attributes").get("on-fail", "")
    cloned = {p.get("id", "") for kind in CLONES for p in root.iterfind(f"configuration/resources//{kind}//primitive")}
    for primitive in root.iterfind("configuration/resources//primitive"):
        tag = primitive.get("id", "")
        elsewhere = primitive.get("template") or any(element.get("id-ref") for element in primitive.iter())
        if primitive.get("class") == "stonith" or elsewhere:
            continue
        for name in ("start", "stop"):
            operation = next((op for op in primitive.iterfind("operations/op") if op.get("name") == name), None)
            own = ""
            if operation is not None:
                own = operation.get("on-fail") or pairs_of(operation, "meta_attributes").get("on-fail", "")
            on_fail = (own or usual).lower()
            does = DOES.get((name, on_fail))
            if does is None or (name == "stop" and not fences):  # without fencing a failed stop is left as it is anyhow
                continue
            yield Setting(
                f"a failed {name} of {tag} {does} (on-fail={on_fail})",
                f"the configuration: {tag}, operation {name}, on-fail={on_fail}" + ("" if own else " (op_defaults)"),
                f"take on-fail={on_fail} away from the {name} of {tag}"
                + (" (its default is to fence the node)" if name == "stop" else " (its default is to try the other node)"),
                tag,
                cloned=tag in cloned,
                usual=tag in cloned,
            )
