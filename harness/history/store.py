"""The store of the history: one SQLite file beside the runs. Many processes may write at once; a killed one leaves it as it was before.

Every write is one transaction that holds the file's lock from its first statement, so that nothing is entered by halves or twice.
The library is peewee: one module without dependencies that loads in 0.05 s, where SQLAlchemy takes 0.2 s and sqlite-utils brings nine
packages. Only what enters or shows the history loads it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import peewee

from harness.core.errors import BadUse, Unusable
from harness.history.database_tables import APPLICATION_ID, FORMAT, TABLES, WITHOUT_ASKED, PointRow, RunRow, SeriesRow
from harness.history.run_entry import Entry
from harness.history.stored_rows import StoredPoint, StoredRun, StoredSeries

FILE = "history.db"
BUSY_TIMEOUT_S = 60.0  # for which a writer waits for the others
MAX_ROWS = 200  # in one statement


class Store:
    """One history file, made where there is none. Use as a context manager; one at a time in a process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._database = peewee.SqliteDatabase(str(path), pragmas={"foreign_keys": 1}, timeout=BUSY_TIMEOUT_S)

    def __enter__(self) -> Store:
        self._database.bind(TABLES)
        with self._errors_in_words():
            self._database.connect()
            try:
                with self._database.atomic("deferred"):  # one look, while another process may be making the tables
                    has_tables = self._format() == FORMAT
                if not has_tables:
                    self._make()
            except BaseException:
                self._database.close()
                raise
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def enter(self, entries: Iterable[Entry]) -> int:
        """Put runs in, all or none; one that is there already is replaced. How many."""
        to_enter = list(entries)
        with self._errors_in_words(), self._database.atomic("immediate"):
            for entry in to_enter:
                self._enter(entry)
        return len(to_enter)

    def stamps(self) -> dict[str, str]:
        """Folder → stamp of every run that is in the store."""
        with self._errors_in_words():
            return dict(_rows(RunRow.select(RunRow.folder, RunRow.stamp)))

    def folders_of(self, cluster: str, at_most: int) -> list[str]:
        """The folders of the newest runs of a cluster, by its `cluster_key`, the newest first."""
        query = RunRow.select(RunRow.folder).where(RunRow.cluster == cluster).order_by(RunRow.started.desc(), RunRow.run_id.desc())
        with self._errors_in_words():
            return [folder for (folder,) in _rows(query.limit(at_most))]

    def runs(self) -> list[StoredRun]:
        """Every run, the oldest first."""
        with self._errors_in_words():
            rows = _rows(RunRow.select().order_by(RunRow.started, RunRow.run_id))
        return [StoredRun(*row[:-3], *map(json.loads, row[-3:])) for row in rows]

    def series(self) -> list[StoredSeries]:
        """Every series that has a point."""
        with self._errors_in_words():
            rows = _rows(SeriesRow.select().where(SeriesRow.id.in_(PointRow.select(PointRow.series))))
        return [StoredSeries(id, json.loads(line), json.loads(identity)) for id, line, identity in rows]

    def points(self) -> list[StoredPoint]:
        """Every point, those of the oldest run first."""
        query = PointRow.select(PointRow.run, PointRow.series, PointRow.figures).join(RunRow).order_by(RunRow.started, RunRow.run_id)
        with self._errors_in_words():
            return [StoredPoint(run, series, json.loads(figures)) for run, series, figures in _rows(query)]

    def _enter(self, entry: Entry) -> None:
        head, cluster = entry.head, entry.head.cluster
        RunRow.delete().where(RunRow.run_id == head.run_id).execute()  # with its points
        RunRow.insert(
            run_id=head.run_id,
            folder=entry.folder,
            stamp=entry.stamp,
            started=head.started.epoch,
            iso=head.started.iso,
            seconds=head.seconds,
            outcome=head.verdict.outcome.value,
            reason=head.verdict.reason,
            exit_code=head.exit_code,
            state=head.state.value,
            cluster=entry.cluster,
            name=cluster.name if cluster else "",
            kind=cluster.kind.value if cluster else "",
            counts=_text(head.counts.model_dump()),
            context=_text(entry.context),
            asked=_text(head.asked),
        ).execute()
        series = {p.series: {"id": p.series, "line": _text(p.line), "identity": _text(p.identity)} for p in entry.points}
        for some in peewee.chunked(series.values(), MAX_ROWS):
            SeriesRow.insert_many(some).on_conflict_ignore().execute()
        points = {p.series: p.figures.model_dump_json(exclude_defaults=True) for p in entry.points}
        for rows in peewee.chunked([(head.run_id, *row) for row in points.items()], MAX_ROWS):
            PointRow.insert_many(rows, fields=[PointRow.run, PointRow.series, PointRow.figures]).execute()

    def _format(self) -> int:
        """The format of the tables; 0 for a new file. Raises BadUse for a file that is somebody else's or too new."""
        application, version = self._database.pragma("application_id"), self._database.pragma("user_version")
        if self._database.get_tables() and application != APPLICATION_ID:
            raise BadUse(f"{self.path}: is a database, but not the history of runs; move it away, or name another folder")
        if self._database.get_tables() and version not in (WITHOUT_ASKED, FORMAT) and version < FORMAT:
            raise BadUse(
                f"{self.path}: was written by an older harness (format {version}); move it away, then `lkharness history --rebuild` reads "
                "the runs that are there; the figures of runs whose folders are gone are in the old file alone"
            )
        if version > FORMAT:
            raise BadUse(f"{self.path}: was written by a newer harness; update lkharness, or move the file away and build it again")
        return int(version)

    def _make(self) -> None:
        """Make the tables, or bring those of the format before up to this one, once: whoever comes second finds them."""
        with self._database.atomic("immediate"):
            version = self._format()
            if version == FORMAT:
                return
            if version == WITHOUT_ASKED:
                self._database.execute_sql("ALTER TABLE run ADD COLUMN asked TEXT NOT NULL DEFAULT '[]'")
                RunRow.update(stamp="").execute()  # so that each is read again whose folder is there; the figures of the others stay
            else:
                self._database.create_tables(TABLES)
            self._database.pragma("application_id", APPLICATION_ID)
            self._database.pragma("user_version", FORMAT)

    @contextmanager
    def _errors_in_words(self) -> Iterator[None]:
        """The library's errors in one sentence, with what to do."""
        try:
            yield
        except peewee.OperationalError as error:
            raise Unusable(
                f"{self.path}: the history cannot be read or written ({error}); see to its rights and to the disk's space"
            ) from error
        except peewee.DatabaseError as error:
            raise BadUse(
                f"{self.path}: is no history of runs, or is damaged ({error}); move it away, then `lkharness history --rebuild`"
            ) from error


def _rows(query: Any) -> list[tuple[Any, ...]]:
    """The rows of a query; peewee's own types tell of the models that `tuples` does not give."""
    return list(query.tuples())


def _text(data: Mapping[str, Any] | list[str]) -> str:
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"))
