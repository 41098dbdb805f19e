"""index.html: the way into a bundle, for a person. Plain, offline, without scripts; everything that a host said is escaped."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from html import escape
from typing import Any

from harness.core.text.host_text import visible

STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:70em;margin:2em auto;padding:0 1em;color:#222;background:#fff}"
    "table{border-collapse:collapse;width:100%;margin:.5em 0 1.5em}td,th{text-align:left;padding:.2em .8em .2em 0;vertical-align:top;"
    "border-bottom:1px solid #ddd;overflow-wrap:anywhere}.bad{color:#a00}.dim{color:#666}"
)


def page_of(index: dict[str, Any]) -> str:
    """The page for an index whose text is already without secrets."""
    body = "\n".join(_body(index))
    title = f"Evidence of {_text(index['cluster'])}"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{title}</title><style>{STYLE}</style></head><body>\n<h1>{title}</h1>\n{body}\n</body></html>\n"
    )


def _body(index: dict[str, Any]) -> Iterator[str]:
    times, window, manager = index["taken"], index["window"], index["manager"]
    hosts_reached = [h["name"] for h in index["hosts"] if h["reached"]]
    yield (
        f"<p>Taken {_time(times['begin'])} to {_time(times['end'])} by lkharness {_text(index['harness'])}; logs from "
        f"{_time(window['begin'])} to {_time(window['end'])}. Secrets removed in {index['secrets_removed']} places.</p>"
    )
    yield f"<p>{len(hosts_reached)} of {len(index['hosts'])} hosts answered.</p>"
    yield f"<p>The cluster file without secrets: {_link('cluster.json')}; for programs: {_link('index.json')}.</p>"
    if manager.get("said"):
        yield f"<h2>The cluster manager ({_text(manager['kind'])})</h2><p>Active: {_text(manager['active'] or 'no single node')}.</p>"
        yield f"<p>{_text(manager['said'])}</p>"
    for note in index["notes"]:
        yield f'<p class="bad">{_text(note)}</p>'
    for host in index["hosts"]:
        yield from _host(host)


def _host(host: dict[str, Any]) -> Iterator[str]:
    yield f"<h2>{_text(host['name'])} <span class=dim>{_text(host['address'])}</span></h2>"
    if not host["reached"]:
        yield f'<p class="bad">Not reached: {_text(host["why"])}</p>'
    clock = host["facts"].get("clock_offset")
    if clock:
        yield f"<p>Its clock is {clock['ahead_s']:+.3f} s from that of the machine that asked (± {clock['error_s']:.3f} s).</p>"
    if host["files"]:
        yield "<table><tr><th>what</th><th>file</th><th>bytes</th><th>remark</th></tr>"
        for file in host["files"]:
            yield (
                f"<tr><td>{_text(file['title'])}</td><td>{_link(file['path'])}</td><td>{file['bytes']}</td>"
                f"<td>{_text(file['note'])}</td></tr>"
            )
        yield "</table>"
    for fault in host["faults"]:
        yield f'<p class="bad">{_text(fault["name"])} is missing: {_text(fault["why"])}</p>'


def _link(path: str) -> str:
    return f'<a href="{escape(path, quote=True)}">{_text(path.rpartition("/")[2])}</a>'


def _text(value: object) -> str:
    return escape(visible(str(value)))


def _time(epoch: float) -> str:
    return f"{datetime.fromtimestamp(epoch, UTC):%Y-%m-%d %H:%M:%S} UTC"
