"""One page of what the parts found: reports/deep.html."""

from __future__ import annotations

from pathlib import Path

import jinja2

from tests.ci.outcome import Outcome

TEMPLATE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{{ title }}</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; width: 100% } td, th { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid #ddd }
.bad { color: #b00020; font-weight: 600 } .good { color: #1b6e3c } code { font-size: 13px; overflow-wrap: anywhere }
</style>
<h1>{{ title }}</h1>
<p>{{ about }}</p>
<p class="{{ 'bad' if bad else 'good' }}">{{ verdict }}</p>
<table><tr><th>Part</th><th>Result</th><th>Tests</th><th>Minutes</th><th>Report</th></tr>
{% for o in outcomes %}<tr><td>{{ o.part.name }}</td><td class="{{ 'bad' if o.trouble else 'good' }}">{{ o.trouble or 'passed' }}</td>
<td>{{ o.summaries | join('; ') or '–' }}</td><td>{{ '%.1f' | format(o.wall_s / 60) }}</td>
<td>{% if o.report %}<a href="{{ o.report }}">report</a>{% endif %}</td></tr>
{% endfor %}</table>
{% for o in outcomes if o.failures %}<h2>{{ o.part.name }}</h2>
<ul>{% for failure in o.failures %}<li><code>{{ failure }}</code></li>{% endfor %}</ul>
{% endfor %}</html>
"""


def write(file: Path, title: str, about: str, outcomes: list[Outcome]) -> None:
    bad = [o.part.name for o in outcomes if o.trouble]
    verdict = f"Not passed: {', '.join(bad)}." if bad else f"All {len(outcomes)} parts passed."
    environment = jinja2.Environment(autoescape=True, trim_blocks=False)
    text = environment.from_string(TEMPLATE).render(title=title, about=about, outcomes=outcomes, bad=bad, verdict=verdict)
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
