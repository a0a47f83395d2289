"""JSON Schema of a dataclass, from its type hints: of what `plugins.encoding` writes and takes."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

from plugins import limits
from plugins.encoding import field_types, is_array, is_variant


def json_schema(cls: type, title: str) -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a dataclass as `encode` writes it and `Decoder` takes it."""
    definitions: dict[str, Any] = {}
    reference = _schema_of(cls, definitions)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        **reference,
        "$defs": definitions,
    }


def _schema_of(hint: Any, definitions: dict[str, Any], most: int = limits.FRAMES) -> dict[str, Any]:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [_schema_of(argument, definitions) for argument in arguments]}
    if origin is tuple:
        if arguments[-1] is Ellipsis:
            return {"type": "array", "items": _schema_of(arguments[0], definitions), "maxItems": most}
        items = [_schema_of(argument, definitions) for argument in arguments]
        return {"type": "array", "prefixItems": items, "items": False, "minItems": len(items)}
    if origin is not None and issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}}
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        if hint.__name__ not in definitions:
            definitions[hint.__name__] = {}  # entered first, so that a class may hold itself
            definitions[hint.__name__] = _object_schema(hint, definitions)
        return {"$ref": f"#/$defs/{hint.__name__}"}
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return {"enum": [member.value for member in hint]}
    return dict(_SCALAR_SCHEMAS[hint])


def _object_schema(cls: type, definitions: dict[str, Any]) -> dict[str, Any]:
    properties: dict[str, Any] = {"type": {"const": cls.__name__}} if is_variant(cls) else {}
    required = list(properties)
    for field in dataclasses.fields(cls):
        hint = field_types(cls)[field.name]
        if is_array(hint):
            several = typing.get_origin(hint) is not np.ndarray
            array = {"anyOf": [_ARRAY_SCHEMA, _ARRAYS_SCHEMA]} if several else _ARRAY_SCHEMA
            properties[field.name] = _POINTS_SCHEMA if field.name == "points" else array
        else:
            most = limits.LISTS.get(f"{cls.__name__}.{field.name}", limits.FRAMES)
            properties[field.name] = _schema_of(hint, definitions, most)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            required.append(field.name)
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _file_schema(key: str, end: str) -> dict[str, Any]:
    name = {"type": "string", "pattern": rf"^[A-Za-z0-9_][A-Za-z0-9_.-]{{0,63}}\.{end}$"}
    return {"type": "object", "properties": {key: name}, "required": [key], "additionalProperties": False}


_SCALAR_SCHEMAS: dict[Any, dict[str, Any]] = {
    str: {"type": "string", "maxLength": limits.TEXT},
    float: {"type": "number"},
    int: {"type": "integer"},
    bool: {"type": "boolean"},
    date: {"type": "string", "format": "date"},
    Path: {"type": "string", "minLength": 1, "maxLength": limits.TEXT},
    type(None): {"type": "null"},
    bytes: _file_schema("file", "pdf"),
}
_POINTS_SCHEMA: dict[str, Any] = {
    "type": "array",
    "items": {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 3},
    "maxItems": limits.POINTS_A_REGION,
}
_ARRAY_SCHEMA = _file_schema("array", "npy")
_ARRAYS_SCHEMA: dict[str, Any] = {"type": "array", "items": _ARRAY_SCHEMA, "minItems": 1}
