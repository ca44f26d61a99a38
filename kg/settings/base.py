"""Frozen settings with checked values, made in Python or from the plain data of a file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self, TypeVar

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, ValidationError
from pydantic_core import CoreSchema

from kg.errors import ConfigError
from kg.settings.problems import beyond_int64, explain, own_first
from kg.settings.secrets import secrets_in_addresses


class Settings(BaseModel):
    """A section of a configuration. Every field has a default or is required, a range, and a description.

    Attributes:
        section: where the section usually stands in the file; it begins the keys in errors about values given in
            Python. Errors about a file say where the value stands in that file.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    section: ClassVar[str] = ""

    def __init__(self, /, **values: Any) -> None:
        """Check the values.

        Raises:
            ConfigError: naming every key with a bad value.
        """
        problems: list[str] = []
        try:
            super().__init__(**values)
            problems = list(secrets_in_addresses(values, self.section))
        except ValidationError as error:
            problems = explain(error, type(self), values, section=self.section)
        if problems:  # raised here, because the caught error shows every value, also one that is a password
            raise ConfigError("; ".join(problems))

    # Pydantic calls an __init__ of one's own for every nested section as well, whose errors would then come one by one
    # and without their place; this mark, which RootModel carries too, says that it need not.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """The JSON schema with the keys of a class before those that it inherits: the reference is written so."""
        result: dict[str, Any] = handler(schema)
        properties = handler.resolve_ref_schema(result).get("properties", {})
        for name in own_first(cls):
            if name in properties:
                properties[name] = properties.pop(name)
        return result

    def changed(self, **values: Any) -> Self:
        """A copy with other values, checked like those of a new object.

        Raises:
            ConfigError: a value is not allowed, alone or with the others.
        """
        fields = type(self).model_fields
        checked = type(self)(**{**{name: getattr(self, name) for name in fields}, **values})
        return self.model_copy(update={name: getattr(checked, name) for name in values})


AnySettings = TypeVar("AnySettings", bound=BaseModel)


def validate(kind: type[AnySettings], data: Mapping[str, Any], *, where: str = "the configuration") -> AnySettings:
    """Settings from plain data, as a TOML file holds it: nothing is converted, a number in quotes is no number.

    Args:
        kind: the class of the settings.
        data: keys and values.
        where: what to call the data in an error, usually the file.

    Raises:
        ConfigError: naming every key that is unknown, missing, or has a bad value.
    """
    if large := list(beyond_int64(data)):
        raise refused(where, large)
    problems: list[str] = []
    try:
        # Through JSON, because only there strict validation still takes a list for a tuple and a string for a path,
        # while a number in quotes or a fraction for a count stays an error.
        settings = kind.model_validate_json(json.dumps(data, default=str), strict=True)
        problems = list(secrets_in_addresses(data))
    except ValidationError as error:
        problems = explain(error, kind, data)
    if not problems:
        return settings
    raise refused(where, problems)  # raised here, because the caught error shows every value, also a password


def refused(where: str, problems: Sequence[str]) -> ConfigError:
    """The error about all problems of a file, a line each."""
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    return ConfigError(f"{where} has {count}:\n" + "\n".join(f"  {line}" for line in problems))
