"""Every text of the console's pages has a Korean one, which keeps what is put into it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from jinja2 import Environment

from node.accounts.roles import Role
from node.console import rendering
from node.console.pages import NAVIGATION
from node.console.rendering import HERE, environment, korean
from node.desk.plugins import PluginHealth
from node.desk.search import STATES
from node.ledger.alert_kinds import AlertKind, AlertSeverity
from node.ledger.attempts import AttemptFailureKind
from node.ledger.job import JobOutcome, JobStatus
from node.ledger.recalls import RecallReason

_COLUMNS = re.compile(r"ui\.table\(_\((?:\"[^\"]*\"|'[^']*')(?:,[^)]*)?\), (.*?\])[,)]")
_PLACES = re.compile(r"%\((\w+)\)")


def _texts() -> Iterator[str]:
    """What templates say: in `_(…)`, and as names of columns."""
    made = Environment(extensions=["jinja2.ext.i18n"], trim_blocks=True, lstrip_blocks=True)
    for file in sorted((HERE / "templates").glob("*.html")):
        source = file.read_text()
        for _, _, message in made.extract_translations(source):  # type: ignore[attr-defined] # the extension adds it
            yield from (each for each in (message if isinstance(message, tuple) else (message,)) if each)
        for found in _COLUMNS.finditer(source):
            yield from (each.removeprefix(">") for each in re.findall(r'"([^"]+)"', found[1]))


def _words() -> Iterator[str]:
    """Words for states, which pages translate."""
    yield from (entry.title for entry in NAVIGATION)
    yield from (kind.sentence for kind in AlertKind)
    words = (Role, AlertSeverity, PluginHealth, AttemptFailureKind, RecallReason, STATES)
    yield from (str(each) for kind in words for each in kind)
    yield from (each.replace("_", " ") for kind in (JobOutcome, JobStatus) for each in kind)


def test_no_page_is_half_in_english() -> None:
    """Texts of templates, entries of the bar, states and alerts."""
    lacking = sorted({text for text in (*_texts(), *_words()) if text not in korean()})
    assert not lacking


@pytest.mark.parametrize("text", ["%(all)s in %(days)s days, at most %(most)s in one, %(last)s today so far"])
def test_texts_are_found_in_templates(text: str) -> None:
    """Else the test above would hold of nothing."""
    assert text in set(_texts())


def test_a_translation_keeps_what_is_put_into_it() -> None:
    """Placeholders are the same, and no further percent sign is there to be taken for one."""
    for english, text in korean().items():
        assert sorted(_PLACES.findall(english)) == sorted(_PLACES.findall(text)), english
        assert "%" not in re.sub(r"%\(\w+\)[sd]", "", text), english


def test_the_file_is_sorted_and_says_each_text_once() -> None:
    """So that two who add to it do not meet."""
    pairs = json.loads((HERE / "words" / "ko.json").read_text(), object_pairs_hook=lambda found: found)
    names = [name for name, _ in pairs]
    assert names == sorted(set(names))


def test_the_page_says_its_language() -> None:
    """A screen reader reads Korean as Korean."""
    assert environment("ko").globals["language"] == "ko"
    assert rendering.translated("ko", "Study") == "검사"
