"""What pydantic finds wrong, in the words of the house and at its place in the file."""

from __future__ import annotations

import re
import types
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from node.config.problems import Problem, closest
from node.config.sections import KIND, ByKind
from node.config.source import Document, YamlPath

_EXPECTED = {
    "string_type": "a text; put it in quotes",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "tuple_type": "a list",
    "list_type": "a list",
    "frozen_set_type": "a list",
    "set_type": "a list",
    "dict_type": "a section of key: value",
    "model_type": "a section of key: value",
    "model_attributes_type": "a section of key: value",
    "path_type": "a path",
    "greater_than_equal": "at least {ge}",
    "less_than_equal": "at most {le}",
}
_NETWORK = "is not an address or network: write 10.1.2.3 or 10.1.2.0/24 (after the prefix all bits are zero)"
_NAME = "is not a name: letters, digits, _ . and -, at most 63, the first a letter or digit"


def problems_of(error: ValidationError, document: Document, model: type[BaseModel]) -> list[Problem]:
    """Every complaint, one a place: of a value that fits none of several types the first is reported."""
    found: dict[YamlPath, Problem] = {}
    for detail in error.errors(include_url=False):
        path, missing = _path(detail["loc"], document.value, detail["type"] == "missing")
        problem = _problem(document, path, missing, detail, model)
        found.setdefault((*path, *missing), problem)
    return list(found.values())


def _path(location: YamlPath, value: Any, missing: bool) -> tuple[YamlPath, tuple[str, ...]]:
    """The part of pydantic's location that exists in the document (the rest names types), and the missing key."""
    path: list[str | int] = []
    for step in location[:-1] if missing else location:
        inside = isinstance(value, Mapping) and step in value
        if inside or (isinstance(value, list) and isinstance(step, int) and step < len(value)):
            value = value[step]
            path.append(step)
    return tuple(path), (str(location[-1]),) if missing else ()


def _problem(
    document: Document, path: YamlPath, missing: tuple[str, ...], detail: Mapping[str, Any], model: type[BaseModel]
) -> Problem:
    kind = detail["type"]
    if missing:
        return document.problem(path, f'the key "{missing[0]}" is missing', key=True)
    if kind == "extra_forbidden":
        known = known_keys(model, path[:-1])
        present = _value_at(document.value, path[:-1])
        unused = [key for key in known if key not in present]
        return document.problem(path, f'there is no key "{path[-1]}" here', closest(str(path[-1]), unused), key=True)
    if kind == "union_tag_invalid":
        return _of_kind(document, (*path, "kind"), detail)
    if kind == "rule":  # rules.model explains itself
        return _of_rule(document, path, detail["ctx"])
    if detail["loc"] and detail["loc"][-1] == "[key]":
        return document.problem(path, f'"{path[-1]}" {_NAME}', key=True)
    if kind == "literal_error":
        allowed = str(detail["ctx"]["expected"]).replace("'", '"')
        words = [word for word in allowed.split('"') if word.strip(" ,") not in ("", "or")]
        return document.problem(path, f"expected {allowed}, got {_shown(detail['input'])}", _meant(detail, words))
    return document.problem(path, _message(kind, detail))


def _of_kind(document: Document, path: YamlPath, detail: Mapping[str, Any]) -> Problem:
    """`kind` names none of the kinds that there are."""
    names = [name.removeprefix(KIND) for name in re.findall(r"'([^']+)'", detail["ctx"]["expected_tags"])]
    allowed = " or ".join(f'"{name}"' for name in names)
    given = _value_at(document.value, path)
    meant = closest(given, names) if isinstance(given, str) else None
    return document.problem(path, f"expected {allowed}, got {_shown(given)}", meant)


def _of_rule(document: Document, path: YamlPath, context: Mapping[str, Any]) -> Problem:
    """A complaint of the rule language; it points at the key where it speaks of the key."""
    message, _, hint = str(context["message"]).partition("; did you mean ")
    suggestion = context["suggestion"] or hint.removesuffix("?") or None
    value = _value_at(document.value, path)
    if isinstance(value, str) and " is none of " in message:
        suggestion = suggestion or closest(value, re.findall(r"'([^']+)'", message.partition(" is none of ")[2]))
    about_value = isinstance(value, str) and value in message
    about_key = bool(path) and isinstance(path[-1], str) and path[-1] in message and not about_value
    return document.problem(path, message, suggestion, key=about_key)


def _message(kind: str, detail: Mapping[str, Any]) -> str:
    context = detail.get("ctx", {})
    if kind in _EXPECTED:
        if detail["input"] is None:
            return f"is empty; expected {_EXPECTED[kind].format(**context)}"
        return f"expected {_EXPECTED[kind].format(**context)}, got {_shown(detail['input'])}"
    if kind.startswith(("ip_v4", "ip_v6")):
        return f"{_shown(detail['input'])} {_NETWORK}"
    if kind == "value_error":
        return str(context["error"])
    return f"{detail['msg']}, got {_shown(detail['input'])}"


def _meant(detail: Mapping[str, Any], words: list[str]) -> str | None:
    return closest(detail["input"], words) if isinstance(detail["input"], str) else None


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return "a section"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, bool):
        return "true" if value else "false"
    return "nothing" if value is None else f'"{value}"' if isinstance(value, str) else str(value)


def _value_at(value: Any, path: YamlPath) -> Any:
    for step in path:
        value = value[step]
    return value


def known_keys(annotation: Any, path: YamlPath) -> list[str]:
    """The keys that the section at `path` of a model may have."""
    keys: list[str] = []
    for kind in _unwrapped(annotation):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            fields = {field.alias or name: field.annotation for name, field in kind.model_fields.items()}
            if not path:
                keys += fields
            elif path[0] in fields:
                keys += known_keys(fields[str(path[0])], path[1:])
        elif path and get_args(kind):  # dict[name, section], tuple[section, ...], list[section]
            keys += known_keys(get_args(kind)[-1 if get_origin(kind) is dict else 0], path[1:])
    return keys


def _unwrapped(annotation: Any) -> Iterator[Any]:
    if get_origin(annotation) is Annotated:
        kinds = [each for part in get_args(annotation) if isinstance(part, ByKind) for each in part.kinds]
        for kind in kinds or [get_args(annotation)[0]]:
            yield from _unwrapped(kind)
    elif get_origin(annotation) in (Union, types.UnionType):
        for member in get_args(annotation):
            yield from _unwrapped(member)
    else:
        yield annotation
