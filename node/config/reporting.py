"""What a rule says about sending its results, held against who reads them: silence must never look like a negative."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from node.config.models import Destination
from node.config.problems import Problem
from node.config.source import Document, YamlPath

_ALWAYS = ("findings", "failed")
_EITHER = ("no_findings", "not_applicable")


def problems(
    document: Document, rule: Mapping[str, Any], path: YamlPath, destinations: Mapping[str, Mapping[str, Any]]
) -> Iterator[Problem]:
    """Contradictions of one rule, each at its place."""
    sent = _many(rule.get("send_when"))
    if not sent or not any(_is_for_readers(destinations.get(name, {})) for name in _many(rule.get("send"))):
        return
    place = (*path, "send_when")
    if missing := [status for status in _ALWAYS if status not in sent]:
        message = f"readers would not be told of {' and '.join(missing)}: add {', '.join(missing)}"
        yield document.problem(place, message)
    elif not set(_EITHER) & set(sent):
        message = "readers who see nothing could not tell no_findings from not_applicable: add one of them"
        yield document.problem(place, message)


def _is_for_readers(destination: Mapping[str, Any]) -> bool:
    return bool(destination.get("audience", Destination.model_fields["audience"].default) == "readers")


def _many(value: Any) -> list[str]:
    return [each for each in (value if isinstance(value, list) else [value]) if isinstance(each, str)]
