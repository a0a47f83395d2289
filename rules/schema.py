"""JSON Schema of the parts of a rule that have a language of their own; editors complete from it."""

from __future__ import annotations

from typing import Any

from pydantic import WithJsonSchema

from rules import names, operators
from rules.reading import BLOCKS, Level

_MARKER = "x-pacsnode"


def marker(definition: str) -> WithJsonSchema:
    """Stands in a generated schema for a definition that `complete` puts in: pydantic knows no references of ours."""
    return WithJsonSchema({_MARKER: definition})


def complete(generated: dict[str, Any]) -> dict[str, Any]:
    """A generated schema with the markers replaced by references to the definitions of the language."""
    completed: dict[str, Any] = _referring(generated)
    completed["$defs"] = {**completed.get("$defs", {}), **_definitions()}
    return completed


def _referring(part: Any) -> Any:
    if isinstance(part, dict):
        if _MARKER in part:
            rest = {key: value for key, value in part.items() if key not in (_MARKER, "default")}
            return {**rest, "$ref": f"#/$defs/{part[_MARKER]}"}
        return {key: _referring(value) for key, value in part.items()}
    return [_referring(each) for each in part] if isinstance(part, list) else part


def _reference(definition: str) -> dict[str, str]:
    return {"$ref": f"#/$defs/{definition}"}


def _definitions() -> dict[str, Any]:
    conditions = {f"{level.title()}Condition": _condition(level) for level in BLOCKS}
    operands: dict[str, Any] = {operator: {} for operator in operators.OPERATORS if operator != "present"}
    scalar = {"type": ["string", "number"]}
    options = {
        "present": {"type": "boolean"},
        "missing": {"enum": [True, False, "error"]},
        "tolerance": {"type": "number", "minimum": 0},
        "case_sensitive": {"type": "boolean"},
    }
    asked = {"type": "object", "properties": {**operands, **options}, "additionalProperties": False, "minProperties": 1}
    order = {"enum": ["smallest", "largest", "newest", "oldest"]}
    texts = {"type": "array", "items": {"type": "string"}, "minItems": 1}
    line = {"type": "object", "minProperties": 1, "maxProperties": 1, "additionalProperties": {"anyOf": [order, texts]}}
    return {
        **conditions,
        "Asked": {"anyOf": [scalar, {"type": "array", "items": scalar, "minItems": 1}, asked]},
        "Preferences": {"type": "array", "items": line},
    }


def _condition(level: Level) -> dict[str, Any]:
    own = _reference(f"{level.title()}Condition")
    several = {"type": "array", "items": own, "minItems": 1}
    blocks: dict[str, Any] = {"all": several, "any": several, "not": own}
    for block in BLOCKS[level][3:]:
        inner = _reference("SeriesCondition" if block.endswith("series") else "ImageCondition")
        counted = {"type": "object", "properties": {"where": inner}, "required": ["where"], "minProperties": 2}
        blocks[block] = counted if block.startswith("count") else inner
    facts = {fact.name: {**_reference("Asked"), "description": fact.meaning} for fact in names.FACTS.values()}
    return {
        "type": "object",
        "minProperties": 1,
        "properties": {**blocks, **facts},
        "patternProperties": {r"^([A-Z][A-Za-z0-9]*|\()": _reference("Asked")},
        "additionalProperties": False,
    }
