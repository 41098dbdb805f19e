"""Sends a change to whoever is to hear of it, through apprise: chats, mail, pagers, by one URL each.

The URLs hold secrets, so they stand in a file that its owner alone can read, and are known to the run's redactor: no text that is sent,
stored or shown holds one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.core.errors import BadUse, Unusable
from harness.core.files import others_may_read
from harness.core.redaction.secrets_in_commands import secret_words
from harness.core.text.host_text import one_line
from harness.notify.state_change import Change, StateChange, changes_of
from harness.report.record.run_directory import Run
from harness.report.record.run_record import RunRecord
from harness.report.run_reader import runs_before

STILL_AFTER = 3  # failed runs in a row, after which it is said once more
MAX_OLDER = 60  # runs that are looked at: of this cluster where the history tells them apart, else of any kind
MAX_REASON_LENGTH = 500


@dataclass(frozen=True)
class Notifier:
    """`urls` are apprise's, and secret."""

    urls: tuple[str, ...]
    still_after: int = STILL_AFTER

    def tell(self, run: Run, of_cluster: Collection[str] | None = None) -> str:
        """Send what changed with a finished run, if anything did. Empty, or why it could not be sent, without a secret.

        `of_cluster`: the names of the folders of this cluster's runs, the newest MAX_OLDER and this run's; None where nobody knows.
        """
        unreadable: list[str] = []  # says nothing of the state
        older = list(runs_before(run.id, run.directory.parent, unreadable, at_most=MAX_OLDER, only=of_cluster))
        changes = changes_of(run.record, older, self.still_after)
        if not changes:
            return ""
        run.cleaner.knows([*self.urls, *secret_words(self.urls)])
        return self.send(*message(run.record, changes, run.cleaner.text))

    def send(self, title: str, body: str) -> str:
        """Empty, or how many of them did not take it."""
        import apprise

        refused = 0
        for url in self.urls:
            receiver = apprise.Apprise()
            if not (receiver.add(url) and receiver.notify(title=title, body=body)):
                refused += 1
        return f"{refused} of {len(self.urls)} receivers did not take the notification “{title}”" if refused else ""


def message(run: RunRecord, changes: Sequence[StateChange], clean: Callable[[str], str]) -> tuple[str, str]:
    """The title and the text of a notification. `clean` takes secrets out of a text: before it is cut short, because half a secret is not
    known for one. Pure."""
    name = run.cluster.name if run.cluster else "a cluster"
    kinds = [change.change for change in changes]
    cause = next((cause.sentence for cause in run.causes), "")
    lines = [
        *(f"{change.change}: {change.against}" for change in changes),
        _shorten(clean(_reason(run, kinds))),
        f"cause: {_shorten(clean(cause))}" if cause else "",
        f"run {run.run_id}, {run.started.iso}",
    ]
    return clean(one_line(f"lkharness: {name}: {', '.join(kinds)}")), clean("\n".join(one_line(line) for line in lines if line))


def _reason(run: RunRecord, kinds: Sequence[Change]) -> str:
    if Change.NOT_BEGUN in kinds:
        return f"the run could not begin: {run.state_reason}"
    if Change.NOT_USABLE in kinds or Change.STILL_NOT_USABLE in kinds:
        return f"the cluster could not be reached or used, so that no test was begun: {run.state_reason}"
    return run.gate.reason if Change.GATE_REFUSED in kinds and run.gate is not None else run.verdict.reason


def load(file: Path, still_after: int) -> Notifier:
    """The receivers in a file: a URL of apprise a line, with comments behind #. Raises BadUse, Unusable where apprise is not installed."""
    if still_after < 2:
        raise BadUse(f"--notify-after {still_after}: the first failure is reported anyhow; give 2 or more")
    if still_after > MAX_OLDER:
        raise BadUse(f"--notify-after {still_after}: {MAX_OLDER} runs back are looked at; give no more than that")
    try:
        import apprise
    except ImportError:
        raise Unusable("--notify needs the package apprise: pip install 'lkharness[notify]'") from None
    try:
        if others_may_read(file.stat()):
            raise BadUse(f"{file} can be read by others, and holds secrets; take that away with chmod go= on it")
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise BadUse(f"--notify {file}: cannot be read ({why})") from error
    urls = [(number, line.strip()) for number, line in enumerate(lines, 1) if line.strip() and not line.lstrip().startswith("#")]
    for number, url in urls:
        if not apprise.Apprise().add(url):
            raise BadUse(f"{file}: line {number} is no URL that apprise knows (github.com/caronc/apprise lists them)")
    if not urls:
        raise BadUse(f"{file}: names nobody; give a URL of apprise a line")
    return Notifier(tuple(url for _, url in urls), still_after)


def _shorten(text: str) -> str:
    return text if len(text) <= MAX_REASON_LENGTH else f"{text[:MAX_REASON_LENGTH]} …"
