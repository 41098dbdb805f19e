"""What every part of run.json is made of: the record and the kinds of values that may stand in it."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from harness.core.text.host_text import storable
from harness.report.record.field_descriptions import describe

Text = Annotated[str, BeforeValidator(lambda value: storable(value) if isinstance(value, str) else value)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Properties = dict[Text, Text]


class Record(BaseModel):
    """The base of every part: unknown names are left out when an older version reads a newer one's."""

    model_config = ConfigDict(extra="ignore", validate_assignment=True, json_schema_extra=describe)
