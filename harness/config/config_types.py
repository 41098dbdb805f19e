"""What the parts of a cluster file are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from harness.core.errors import BadUse
from harness.plugins.registry import Registry

Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[float, Field(gt=0)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")]


class Part(BaseModel):
    """The base of every table: unknown names are a fault, and nothing is changed after it was read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True)
class OneOf:
    """A string that is the name of an implementation in the registry. That of a plug-in is imported, so that one which cannot be used is
    said at once (Unusable)."""

    registry: Registry

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check_name, core_schema.str_schema())

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "string", "enum": self.registry.names()}

    def _check_name(self, name: str) -> str:
        if name not in self.registry.built_in():
            try:
                self.registry.get(name)
            except BadUse as error:
                raise PydanticCustomError("no_such_implementation", "{why}", {"why": str(error)}) from None
        return name
