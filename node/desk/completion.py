"""Words that an editor offers while somebody writes a configuration or rules: keys, attributes, values, names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from node.config.models import Configuration

_LONGEST = 120
"""Characters of what is said of a word."""


def of_language(_: None = None) -> dict[str, str]:
    """Every key, DICOM keyword and fixed value that a file may have, each with a sentence. Takes seconds."""
    from node.config import schema  # with the whole dictionary of DICOM

    found: dict[str, str] = {}
    for each in (schema.rules(), schema.configuration()):
        for word, about in _words(each):
            found[word] = found.get(word) or about
    return found


def of_site(configuration: Configuration) -> dict[str, str]:
    """Names that this configuration has given."""
    plugins = {step.plugin for rule in configuration.rules for step in rule.run} | {*configuration.plugins}
    return {
        **dict.fromkeys(sorted(plugins), "a plugin of this site"),
        **dict.fromkeys(configuration.destinations, "a destination of this site"),
        **dict.fromkeys(configuration.people, "somebody to be notified"),
        **{each.ae_title: f"the AE title of {name}" for name, each in configuration.modalities.items()},
    }


def _words(part: Any) -> Iterator[tuple[str, str]]:
    if isinstance(part, list):
        for each in part:
            yield from _words(each)
    if not isinstance(part, Mapping):
        return
    for name, value in part.get("properties", {}).items():
        yield name, _sentence(value)
    for value in part.get("enum", ()):
        if isinstance(value, str):
            yield value, ""
    for each in part.values():
        yield from _words(each)


def _sentence(value: Any) -> str:
    said = str(value.get("description", "")) if isinstance(value, Mapping) else ""
    return said if len(said) <= _LONGEST else f"{said[: _LONGEST - 1]}…"
