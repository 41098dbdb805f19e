"""The tables of the history's file."""

from __future__ import annotations

import peewee

FORMAT = 1  # of the tables; a file with another one is left as it is, and the user is told
APPLICATION_ID = 0x4C4B4848  # "LKHH" in a database's head says that it is this one


class RunRow(peewee.Model):
    """One finished run. `folder` is its name beside the file; `counts` and `context` are JSON."""

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
