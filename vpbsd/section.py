"""What every config is made of: frozen, typed sections, their one JSON text and its digest."""

from __future__ import annotations

import hashlib
import json
from typing import Any, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    model_serializer,
)

S = TypeVar("S", bound="Section")


class Later:
    """Annotates a field that came after results were stored.

    At its default it is absent from JSON, so that older stages keep their keys: a default must
    mean what was done before the field was there, and never changes.
    """


class Section(BaseModel):
    """A frozen group of settings; unknown names are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_serializer(mode="wrap")
    def _without_later_defaults(
        self, handler: SerializerFunctionWrapHandler, info: SerializationInfo
    ) -> dict[str, Any]:
        plain: dict[str, Any] = handler(self)
        if not info.mode_is_json():  # overrides find every field by its name
            return plain
        for name, field in type(self).model_fields.items():
            later = any(isinstance(mark, Later) for mark in field.metadata)
            if later and getattr(self, name) == field.default:
                del plain[name]
        return plain


def derive(target: type[S], source: Section, **changes: object) -> S:
    """Makes a section of the fields of another that have the same name, some of them changed.

    >>> from vpbsd.config import SwinNet, UnetrNet
    >>> derive(UnetrNet, SwinNet(feature_size=24), name="unetr", num_heads=6).feature_size
    24
    """
    shared = {name: getattr(source, name) for name in type(source).model_fields}
    taken = {name: value for name, value in shared.items() if name in target.model_fields}
    return target.model_validate(taken | changes)


def canonical(value: object) -> str:
    """Writes the one JSON text of a value: sorted names, no spaces, models as plain data."""
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: object) -> str:
    """Computes the SHA-256 of the canonical text, in hex."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()
