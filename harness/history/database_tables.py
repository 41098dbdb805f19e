"""The tables of the history's file."""

from __future__ import annotations

import peewee

FORMAT = 2  # of the tables; a file with a newer one is left as it is, and the user is told
WITHOUT_ASKED = 1  # the format before: runs did not say what they set out to measure
APPLICATION_ID = 0x4C4B4848  # "LKHH" in a database's head says that it is this one


class RunRow(peewee.Model):
    """One finished run. `folder` is its name beside the file; `counts`, `context` and `asked` are JSON."""

    run_id = peewee.TextField(primary_key=True)
    folder = peewee.TextField()
    stamp = peewee.TextField()
    started = peewee.FloatField(index=True)
    iso = peewee.TextField()
    seconds = peewee.FloatField()
    outcome = peewee.TextField()
    reason = peewee.TextField()
    exit_code = peewee.IntegerField()
    state = peewee.TextField()
    cluster = peewee.TextField()
    name = peewee.TextField()
    kind = peewee.TextField()
    counts = peewee.TextField()
    context = peewee.TextField()
    asked = peewee.TextField(default="[]")

    class Meta:
        """The table's name."""

        table_name = "run"


class SeriesRow(peewee.Model):
    """One series; `line` and `identity` are JSON."""

    id = peewee.TextField(primary_key=True)
    line = peewee.TextField()
    identity = peewee.TextField()

    class Meta:
        """The table's name."""

        table_name = "series"


class PointRow(peewee.Model):
    """The figures of one series in one run, as JSON."""

    run = peewee.ForeignKeyField(RunRow, on_delete="CASCADE")
    series = peewee.ForeignKeyField(SeriesRow)
    figures = peewee.TextField()

    class Meta:
        """The table's name and key."""

        table_name = "point"
        primary_key = peewee.CompositeKey("run", "series")


TABLES = (RunRow, SeriesRow, PointRow)
