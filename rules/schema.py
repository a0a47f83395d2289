"""JSON Schema of the parts of a rule that have a language of their own; editors complete from it."""

from __future__ import annotations

from typing import Any

from pydantic import WithJsonSchema

from rules import names, operators
from rules.reading import BLOCKS, COUNTING, Level

_MARKER = "x-pacsnode"


def marker(definition: str) -> WithJsonSchema:
    """Placeholder in a schema for a definition that `complete` puts in: pydantic knows no references of ours."""
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


_OPERATORS = {
    "is": "The value.",
    "in": "One of these.",
    "contains": "All of these are among several values.",
    "matches": "The whole text, where * stands for anything; of a list, any.",
    "regex": "A regular expression (RE2) found anywhere in the text.",
    "at_least": "Not below this.",
    "at_most": "Not above this.",
    "above": "Above this.",
    "below": "Below this.",
    "between": "From, to; both count as inside.",
    "before": 'A day, or a time of day in quotes: today - 2 years, "08:30".',
    "after": "A day, or a time of day in quotes: StudyDate, today - 2 years.",
    "code": "Coding scheme and value, as in SCT:51185008; of a list, any.",
    "present": "true: there is a value. false: there is none.",
}
_MODIFIERS: dict[str, dict[str, Any]] = {
    "missing": {"enum": [True, False, "error"], "description": "What an absent or unreadable value counts as."},
    "tolerance": {"type": "number", "minimum": 0, "description": "Numbers this close are equal."},
    "case_sensitive": {"type": "boolean", "description": "true: a and A differ."},
    "modifier": {"description": "Beside code: a code that modifies it, in the same item; of a list, any."},
}
_BLOCKS = {
    "all": "Each of these conditions holds.",
    "any": "One of these conditions holds.",
    "not": "This condition does not hold.",
    "any_series": "Some series satisfies this.",
    "every_series": "Every series satisfies this.",
    "no_series": "No series satisfies this.",
    "count_series": "How many series satisfy `where`.",
    "any_image": "Some image satisfies this.",
    "every_image": "Every image satisfies this.",
    "no_image": "No image satisfies this.",
    "count_images": "How many images satisfy `where`; frames count.",
}


def _definitions() -> dict[str, Any]:
    conditions = {f"{level.title()}Condition": _condition(level) for level in BLOCKS}
    operands: dict[str, Any] = {operator: {"description": _OPERATORS[operator]} for operator in operators.OPERATORS}
    operands["present"]["type"] = "boolean"
    scalar = {"type": ["string", "number"]}
    options = {modifier: _MODIFIERS[modifier] for modifier in operators.MODIFIERS}
    asked = {"type": "object", "properties": {**operands, **options}, "additionalProperties": False, "minProperties": 1}
    order = {"enum": ["smallest", "largest", "newest", "oldest"]}
    texts = {"type": "array", "items": {"type": "string"}, "minItems": 1}
    line = {"type": "object", "minProperties": 1, "maxProperties": 1, "additionalProperties": {"anyOf": [order, texts]}}
    return {
        **conditions,
        "Asked": {
            "if": {"type": "object"},  # so that an editor tells what is wrong inside of it
            "then": asked,
            "else": {"anyOf": [scalar, {"type": "array", "items": scalar, "minItems": 1}]},
        },
        "Preferences": {"type": "array", "items": line},
    }


def _condition(level: Level) -> dict[str, Any]:
    own = _reference(f"{level.title()}Condition")
    blocks: dict[str, Any] = {block: {**_block(block, own), "description": _BLOCKS[block]} for block in BLOCKS[level]}
    facts = {fact.name: {**_reference("Asked"), "description": fact.meaning} for fact in names.FACTS.values()}
    return {
        "type": "object",
        "minProperties": 1,
        "properties": {**blocks, **facts},
        "patternProperties": {r"^([A-Z][A-Za-z0-9]*|\()": _reference("Asked")},
        "additionalProperties": False,
    }


def _block(block: str, own: dict[str, str]) -> dict[str, Any]:
    if block == "not":
        return own
    if block in ("all", "any"):
        return {"type": "array", "items": own, "minItems": 1}
    inner = _reference("SeriesCondition" if block.endswith("series") else "ImageCondition")
    if not block.startswith("count"):
        return inner
    counts = {operator: {"description": _OPERATORS[operator]} for operator in COUNTING}
    where = {**inner, "description": "What is counted."}
    return {
        "type": "object",
        "properties": {"where": where, **counts},
        "required": ["where"],
        "minProperties": 2,
        "additionalProperties": False,
    }
