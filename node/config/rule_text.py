"""Rules as YAML, as a person would write them: what a kept version said."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML

from node.config.dictionary import DataDictionary
from rules.model import DICTIONARY, Rule


def rule_text(rules: Sequence[Mapping[str, Any]]) -> str:
    """A file of these rules; keys that say what they would say anyhow are left out."""
    yaml = YAML()
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.width = 120
    written = io.StringIO()
    yaml.dump({"rules": [_short(rule) for rule in rules]}, written)
    return written.getvalue()


def _short(rule: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        read = Rule.model_validate(rule, context={DICTIONARY: DataDictionary()})
    except ValidationError:  # kept by a program whose language was another one
        return rule
    short: dict[str, Any] = read.model_dump(mode="json", exclude_defaults=True)
    return short
