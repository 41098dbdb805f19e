"""Pictures of `crm_mon` in XML, new and old, and of `corosync-cfgtool -s` (facts PCM-01 to PCM-03)."""

from __future__ import annotations

import random
import re
from xml.sax.saxutils import quoteattr

from parser_inputs import BANNERS, FAILED, IN, NODES, OUT, TAGS, UNKNOWN, UNPROTECTED, Truth

NOT_CONNECTED = """\
<pacemaker-result api-version="2.25" request="crm_mon --output-as=xml -1">
  <status code="102" message="Not connected">
    <errors>
      <error>crm_mon: Connection to cluster failed: Connection refused</error>
    </errors>
  </status>
</pacemaker-result>
"""
# As a stopped node of 2.1.5 says it, because the command for old versions is tried when the new one fails.
TWICE = f'{NOT_CONNECTED}Not connected\ncrm_mon: Connection to cluster failed: Connection refused\n<crm_mon version="2.1.5"/>\n'
ROLES = ("Started", "Started", "Started", "Master", "Promoted", "Slave", "Unpromoted")
TRANSIT = ("Starting", "Stopping", "Promoting", "Demoting", "Migrating", "Whatever", "")
FLAGS = ("standby", "maintenance", "pending", "unclean", "shutdown", "standby_onfail")


def picture(rng: random.Random) -> tuple[str, dict[str, Truth]]:
    """What crm_mon prints, and what each node makes of it."""
    before = rng.choice(BANNERS) + "\n" if rng.random() < 0.2 else ""
    kind = rng.random()
    if kind < 0.04:
        return before + rng.choice((NOT_CONNECTED, TWICE)), dict.fromkeys(NODES, Truth(None, running=False))
    if kind < 0.05:
        return before + '<crm_mon version="1.1.24"/>\n', dict.fromkeys(NODES, Truth(None, running=False))
    old = rng.random() < 0.3
    lines, running, online = ["  <nodes>"], {}, {}
    for number, node in enumerate(NODES, 1):
        flags = dict.fromkeys(FLAGS, "false") | {"online": "true"}
        if rng.random() < 0.1:
            flags |= {rng.choice(FLAGS): "true"} if rng.random() < 0.7 else {"online": "false"}
        online[node] = flags["online"] == "true"
        running[node] = flags["online"] == "true" and all(flags[f] == "false" for f in FLAGS)
        lines.append(f"    <node {_attributes(rng, {'name': node, 'id': str(number), **flags, 'type': 'member'})}/>")
    lines += ["  </nodes>", "  <resources>"]
    resources: dict[str, dict] = {node: {} for node in NODES}
    bars: list[str] = []
    home = rng.choice(NODES)
    sound = rng.random() < 0.5
    for tag in rng.sample(TAGS, rng.choice((1, 2, 3, 4))):
        block, seen = _resource(rng, tag, home, old, sound, bars)
        around = rng.random()
        if around < 0.4:
            lines += [f'    <group id="g-{rng.randrange(99)}" number_resources="1">', *block, "    </group>"]
        elif around < 0.5:  # runs on every node, so it says nothing about who is active
            lines += ['    <clone id="c" multi_state="false">', *block, "    </clone>"]
            continue
        else:
            lines += block
        for node in NODES:
            resources[node][tag] = seen[node]
    if rng.random() < 0.6:
        agent = {"id": "fence", "resource_agent": "stonith:fence_lab", "role": "Started", "active": "true", "nodes_running_on": "1"}
        lines += [f"    <resource {_attributes(rng, agent)}>", f'      <node name="{rng.choice(NODES)}" id="1"/>', "    </resource>"]
    lines.append("  </resources>")
    text = _document(rng, old, lines, bars)
    return before + text, {n: Truth(resources[n] if online[n] else None, running=running[n]) for n in NODES}


def _document(rng: random.Random, old: bool, lines: list[str], bars: list[str]) -> str:
    history = ["  <node_history>", *bars, "  </node_history>"] if bars else ["  <node_history/>"]
    summary = [
        "  <summary>", f'    <current_dc present="true" name="{rng.choice(NODES)}" with_quorum="true"/>',
        '    <cluster_options stonith-enabled="true" maintenance-mode="false"/>', "  </summary>",
    ]  # fmt: skip
    head = '<?xml version="1.0" encoding="utf-8"?>\n' if old or rng.random() < 0.2 else ""
    if old:
        return "\n".join([f'{head}<crm_mon version="1.1.24">', *summary, *lines, *history, "</crm_mon>"]) + "\n"
    ends = ['  <status code="0" message="OK"/>', "</pacemaker-result>"]
    body = [*summary, *lines, *history]
    return "\n".join([f'{head}<pacemaker-result api-version="2.25" request="crm_mon --output-as=xml -1">', *body, *ends]) + "\n"


def _resource(rng: random.Random, tag: str, home: str, old: bool, sound: bool, bars: list[str]) -> tuple[list[str], dict]:
    """One resource's lines, and its state on each node. `bars` gets the history where a node is barred from it."""
    kind = "started" if sound else rng.choice(KINDS)
    away = next(n for n in NODES if n != home)
    places = {"both": list(NODES), "stopped": [], "elsewhere": [away]}.get(kind, [home])
    colon = ":" * rng.choice((1, 2) if old else (1,))
    said = {
        "id": quoteattr(tag)[1:-1],
        "resource_agent": f"ocf{colon}heartbeat:IPaddr2",
        "role": rng.choice(ROLES) if places else "Stopped",
    }
    said |= {"active": "true" if places else "false", "orphaned": "false", "managed": "true", "failed": "false", "failure_ignored": "false"}
    if not old:
        said["blocked"] = "false"
    state = IN
    if kind == "transit":
        said["role"], state = rng.choice(TRANSIT), UNKNOWN
    elif kind == "pending":
        said["pending"], state = rng.choice(TRANSIT[:5]), UNKNOWN
    elif kind == "failed":
        said["failed"], state = "true", FAILED
    elif kind == "ignored":
        said |= {"failed": "true", "failure_ignored": "true"}
    elif kind == "unmanaged":
        said["managed"], state = "false", UNPROTECTED
    elif kind == "blocked":
        said["blocked"], state = "true", UNPROTECTED
    elif kind == "passive":
        said["active"], state = "false", UNKNOWN
    seen = {node: state if node in places else OUT for node in NODES}
    if kind == "barred":
        seen[away] = FAILED
        counts = rng.choice(('migration-threshold="3" fail-count="3"', 'migration-threshold="1000000" fail-count="INFINITY"'))
        bars += [f'    <node name="{away}">', f"      <resource_history id={quoteattr(tag)} {counts}/>", "    </node>"]
    lines = [f"      <resource {_attributes(rng, {**said, 'nodes_running_on': str(len(places))})}"]
    if not places and rng.random() < 0.5:
        return [lines[0] + "/>"], seen
    lines[0] += ">"
    lines += [f'        <node name="{place}" id="{NODES.index(place) + 1}" cached="true"/>' for place in places]
    return [*lines, "      </resource>"], seen


KINDS = (
    "started", "started", "both", "stopped", "elsewhere", "transit", "pending", "failed", "ignored", "unmanaged", "blocked",
    "passive", "barred",
)  # fmt: skip


def _attributes(rng: random.Random, said: dict[str, str]) -> str:
    """In any order, and with one that nobody knows yet."""
    items = list(said.items())
    if rng.random() < 0.3:
        items.append(("feature_set", "3.16.2"))
        rng.shuffle(items)
    return " ".join([f'{key}="{value}"' for key, value in items])


def links(rng: random.Random) -> tuple[str, tuple[bool, ...]]:
    """`corosync-cfgtool -s` of the first node, in the words of three versions; and which of its paths live."""
    alive = tuple(rng.random() < 0.8 for _ in range(rng.choice((1, 2, 2))))
    form = rng.randrange(3)
    text = "Printing ring status.\nLocal node ID 1\n" if form == 1 else "Local node ID 1, transport knet\n"
    for number, up in enumerate(alive):
        address = f"10.20.{number + 1}.11"
        if form == 1:
            words = f"ring {number} active with no faults" if up else f"Marking ringid {number} interface {address} FAULTY"
            text += f"RING ID {number}\n\tid\t= {address}\n\tstatus\t= {words}\n"
        elif form == 2:
            text += f"LINK ID {number}\n\taddr\t= {address}\n\tstatus:\n\t\tnodeid  1:\tlink enabled:1\tlink connected:1\n"
            text += f"\t\tnodeid  2:\tlink enabled:1\tlink connected:{int(up)}\n"
        else:
            text += f"LINK ID {number} udp\n\taddr\t= {address}\n\tstatus:\n\t\tnodeid:          1:\tlocalhost\n"
            text += f"\t\tnodeid:          2:\t{'connected' if up else 'disconnected'}\n"
    return text, alive


TAG = re.compile(r"""<(/?)(resource|node)((?:\s+[\w:.-]+\s*=\s*(?:"[^"<]*"|'[^'<]*'))*)\s*(/?)>""")
ATTRIBUTE = re.compile(r"""([\w:.-]+)\s*=\s*["']([^"<]*?)["'](?=\s|\Z)""")


def supported(node: str, text: str) -> set[str]:
    """The resources that some element calls started here and not failed: tag by tag, where the parser reads a whole document."""
    found: set[str] = set()
    known, around = False, []
    for ends, name, said, empty in TAG.findall(text):
        if ends:
            around = around[:-1] if name == "resource" else around
            continue
        its = dict(ATTRIBUTE.findall(re.sub(r"\r\n|[\r\n\t]", " ", said)))  # as XML has it
        if name == "resource":
            around = around if empty else [*around, its]
        elif its.get("name") == node:
            known = known or its.get("online") == "true"
            if around and _runs(around[-1]):
                id = around[-1].get("id", "").replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", '"').replace("&amp;", "&")
                found.add(id.encode("utf-8", "replace").decode())  # half a surrogate cannot be in any document
    return found if known else set()


def _runs(its: dict[str, str]) -> bool:
    failed = its.get("failed") == "true" and its.get("failure_ignored") != "true"
    started = its.get("role", "").lower() in ("started", "master", "promoted", "slave", "unpromoted")
    return started and its.get("active") != "false" and not failed
