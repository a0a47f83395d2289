"""JSON Schema (draft 7) of the configuration and of files of rules: what editors complete from and check against.

Draft 7, because that is what yaml-language-server reads; there nothing may be beside a `$ref`, so references are
wrapped in `allOf`. DICOM keywords are properties of their own, each with its name and value representation, so that an
editor offers them; tags, private attributes and paths into sequences fit a pattern. An editor sees shapes and names;
`pacsnode check` sees the rest.
"""

from __future__ import annotations

import re
from datetime import timedelta
from functools import cache
from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydicom.datadict import dictionary_description, dictionary_is_retired, keyword_dict

from node.config.dictionary import DataDictionary
from node.config.field_docs import describe
from node.config.models import MAY_BE_EMPTY, Configuration
from node.config.sections import Section
from node.config.values import duration_text
from rules import names, schema
from rules.examples import RuleFile
from rules.section import RuleSection

Schema = dict[str, Any]

DRAFT = "http://json-schema.org/draft-07/schema#"
_BULK = {"OB", "OD", "OF", "OL", "OV", "OW", "AT", "UN", "OB or OW"}


def configuration() -> Schema:
    """The schema of config.yaml."""
    made = _draft_7(Configuration)
    properties = made["properties"]
    properties["rules"]["items"] = {
        "anyOf": [properties["rules"]["items"], {"type": "string", "description": "Files of rules: rules.d/*.yaml"}]
    }
    for name in MAY_BE_EMPTY:
        said = properties[name].pop("description")
        properties[name] = {"anyOf": [properties[name], {"type": "null"}], "description": said}
    (pattern, use), *_ = properties["plugins"]["anyOf"][0]["patternProperties"].items()
    properties["plugins"]["anyOf"][0]["patternProperties"] = {pattern: {"anyOf": [use, {"type": "null"}]}}
    return {"$schema": DRAFT, "title": "Configuration of pacsnode", **made}


def rules() -> Schema:
    """The schema of a file of rules: a list of rules, or `rules:` and `tests:`."""
    made = _draft_7(RuleFile)
    definitions = made.pop("definitions")
    file = {key: value for key, value in made.items() if key not in ("title", "description")}
    return {
        "$schema": DRAFT,
        "title": "Rules of pacsnode",
        "anyOf": [file, {"type": "array", "items": {"$ref": "#/definitions/Rule"}}],
        "definitions": definitions,
    }


def _draft_7(root: type[BaseModel]) -> Schema:
    generated = root.model_json_schema(mode="validation")
    describe(generated, root, Section, RuleSection)
    completed = schema.complete(generated)
    definitions = completed.pop("$defs")
    for name in ("StudyCondition", "SeriesCondition", "ImageCondition"):
        definitions[name] = _with_attributes(definitions[name])
    made: Schema = _plain({**completed, "definitions": {**definitions, "Attributes": _attributes()}})
    return made


def _with_attributes(condition: Schema) -> Schema:
    """A condition whose keys are its own, or attributes: these are said once for all conditions."""
    (pattern, *_) = condition["patternProperties"]
    return {**condition, "patternProperties": {pattern: {}}, "allOf": [{"$ref": "#/definitions/Attributes"}]}


@cache
def _attributes() -> Schema:
    """Every keyword that can be asked for, and the patterns of what has none."""
    dictionary = DataDictionary()
    properties: Schema = {}
    for tag, keyword in sorted((tag, keyword) for keyword, tag in keyword_dict.items() if keyword):
        vr = dictionary.vr(keyword) or ""
        if vr not in _BULK and not dictionary_is_retired(tag):
            said = f"{dictionary_description(tag)} ({tag >> 16:04X},{tag & 0xFFFF:04X}), {vr}"
            properties[keyword] = _asked(said, dictionary.terms(keyword))
    for fact in names.FACTS.values():
        properties[fact.name] = _asked(fact.meaning, fact.terms)
    return {
        "properties": properties,
        "patternProperties": {r"^\(|^[A-Z][A-Za-z0-9]*\.": {"$ref": "#/definitions/Asked"}},
    }


def _asked(said: str, terms: Any) -> Schema:
    """What may be asked of an attribute; its terms are offered, and do not bind."""
    made: Schema = {"$ref": "#/definitions/Asked", "description": said}
    return {"anyOf": [{"enum": sorted(terms)}, {"$ref": "#/definitions/Asked"}], "description": said} if terms else made


def _plain(part: Any) -> Any:
    """Draft 7: `definitions`, nothing beside `$ref`; no titles that repeat the key, durations as they are written."""
    if isinstance(part, list):
        return [_plain(each) for each in part]
    if not isinstance(part, dict):
        return part.replace("#/$defs/", "#/definitions/") if isinstance(part, str) else part
    made = {key: _plain(value) for key, value in part.items() if not _noise(key, value)}
    if "$ref" in made and len(made) > 1:
        made = {"allOf": [{"$ref": made.pop("$ref")}], **made}
    if isinstance(default := made.get("default"), str) and re.match(r"P(T|\d)", default):
        made["default"] = duration_text(TypeAdapter(timedelta).validate_python(default))
    return made


def _noise(key: str, value: Any) -> bool:
    return (key in ("title", "format") and isinstance(value, str)) or (key == "default" and value is None)
