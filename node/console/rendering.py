"""Pages from templates: one language, the site's time zone, everything escaped that is not a template's own."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime, tzinfo
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context

from node.clock import SystemClock
from node.desk import alerts, for_readers
from node.desk.rows import Event
from node.desk.words import ago, clock_text, details, local, sentence, short, tail

HERE = Path(__file__).resolve().parent
STATIC = HERE / "static"
LANGUAGES = {"en": "English", "ko": "한국어"}
_UNSEEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
"""What a person cannot see: controls, and what turns the order of the letters around it (UAX #9)."""


@cache
def korean() -> Mapping[str, str]:
    """The Korean text of each English one that a page has of its own."""
    known: dict[str, str] = json.loads((HERE / "words" / "ko.json").read_text(encoding="utf-8"))
    return {**alerts.korean_sentences(), **known}


@cache
def environment(language: str) -> Environment:
    """Where templates are rendered, in this language."""
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
        finalize=seen,
    )
    known = korean() if language == "ko" else {}
    made.install_gettext_callables(  # type: ignore[attr-defined] # the extension adds it
        lambda message: known.get(message, message),
        lambda one, many, number: known.get(one, one) if number == 1 else known.get(many, many),
        newstyle=True,
    )
    made.filters |= {"ago": ago, "short": short, "tail": tail, "clock": _clock, "local": _local}
    made.filters |= {"day": day, "lookup": _lookup, "reading_lines": for_readers.lines}
    made.filters |= {"event_sentence": sentence, "event_details": _event_details}
    made.globals |= {"asset": asset, "language": language, "languages": LANGUAGES}
    return made


def seen(value: Any) -> Any:
    """What a page shows of a value: what a sender could hide in a text, or turn around with it, becomes visible."""
    if isinstance(value, str) and _UNSEEN.search(value):
        return type(value)(_UNSEEN.sub("\N{REPLACEMENT CHARACTER}", value))
    return value


def translated(language: str, text: str) -> str:
    """A text of code that a page shows, in this language."""
    return korean().get(text, text) if language == "ko" else text


@cache
def asset(name: str) -> str:
    """The address of a file in static/, another one whenever its content is."""
    digest = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()
    return f"/static/{name}?{digest[:12]}"


def day(text: str) -> str:
    """A date as DICOM writes it (DA), as people do: 2026-03-02."""
    return f"{text[:4]}-{text[4:6]}-{text[6:]}" if len(text) == len("20260302") and text.isdecimal() else text


def _lookup(name: str, counts: Mapping[str, int]) -> int:
    return counts.get(name, 0)


@pass_context
def _clock(context: Context, moment: datetime | None) -> str:
    return clock_text(moment, context["zone"], SystemClock().now())


@pass_context
def _local(context: Context, text: str | None) -> str:
    return local(text, context["zone"], SystemClock().now())


@pass_context
def _event_details(context: Context, event: Event) -> str:
    return details(event.detail, context["zone"], event.at)


Renderer = Callable[..., str]
"""Takes the name of a template and its values."""


def render(template: str, language: str, zone: tzinfo, **values: Any) -> str:
    """The page."""
    return environment(language).get_template(template).render(zone=zone, **values)
