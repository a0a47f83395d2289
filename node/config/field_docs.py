"""What the docstrings below the keys of a section say, put into a JSON Schema.

pydantic can do that itself (`use_attribute_docstrings`), but reads the source of each section when it is imported:
every command would pay for what the schema alone needs.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel


def describe(schema: Mapping[str, Any], root: type[BaseModel], *bases: type[BaseModel]) -> None:
    """Give each property that has none its description; `bases`: all sections derive from one of them."""
    sections = {each.__name__: each for base in bases for each in _below(base)}
    for name, definition in schema.get("$defs", {}).items():
        if name in sections:
            _describe(definition, sections[name])
    _describe(schema, root)


def _below(base: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for each in base.__subclasses__():
        yield each
        yield from _below(each)


def _describe(definition: Mapping[str, Any], section: type[BaseModel]) -> None:
    docs: dict[str, str] = {}
    for each in reversed(section.__mro__):
        if issubclass(each, BaseModel) and each is not BaseModel:
            docs |= _docs(each)
    properties = definition.get("properties", {})
    for name, field in section.model_fields.items():
        key = field.alias or name
        if name in docs and key in properties:
            properties[key].setdefault("description", docs[name])


def _docs(section: type[BaseModel]) -> dict[str, str]:
    """Key → the text that stands below it in the source."""
    (defined,) = ast.parse(textwrap.dedent(inspect.getsource(section))).body
    assert isinstance(defined, ast.ClassDef), section
    found = {}
    for key, text in zip(defined.body, defined.body[1:], strict=False):
        match key, text:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(said))):
                found[name] = inspect.cleandoc(said)
    return found
