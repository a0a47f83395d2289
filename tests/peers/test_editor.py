"""What an admin sees in an editor: the schema in the language server that most editors run for YAML."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from node.config import schema
from tests.support.programs.language_server import LanguageServer

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = (ROOT / "config.example.yaml").read_text()
MODELINE = "# yaml-language-server: $schema={}.schema.json\n"
RULES = MODELINE.format("rules")
SNIPPETS = [
    (page.name, level, body)
    for page in sorted((ROOT / "docs").glob("*.md"))
    for level, body in re.findall(r"^```yaml ?(\w*)\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
]


def _kind(page: str, level: str, body: str) -> str | None:
    """Which schema an example of the documentation is written by; None where it is no configuration."""
    if re.search(r"^node:", body, re.MULTILINE):
        return "pacsnode"
    if re.search(r"^rules:", body, re.MULTILINE):
        return "rules"
    if page != "rules.md":
        return None
    return "SeriesCondition" if level == "series" else "StudyCondition"


@pytest.fixture(scope="module")
def editor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LanguageServer]:
    """The server in a folder with the schemas that `pacsnode schema` writes."""
    folder = tmp_path_factory.mktemp("editor")
    schemas: dict[str, Any] = {"pacsnode": schema.configuration(), "rules": schema.rules()}
    for name in ("SeriesCondition", "StudyCondition"):
        schemas[name] = {
            "$schema": schema.DRAFT,
            "allOf": [{"$ref": f"#/definitions/{name}"}],
            "definitions": schemas["rules"]["definitions"],
        }
    for name, made in schemas.items():
        (folder / f"{name}.schema.json").write_text(json.dumps(made))
    with LanguageServer(folder) as server:
        yield server


def test_nothing_is_underlined_in_the_examples(editor: LanguageServer) -> None:
    """config.example.yaml by its own first line, and every example of the documentation."""
    editor.open("config.yaml", EXAMPLE)
    opened = {"config.yaml": "config.example.yaml"}
    for number, (page, level, body) in enumerate(SNIPPETS):
        if kind := _kind(page, level, body):
            opened[f"{number}.yaml"] = f"{page}: {body}"
            editor.open(f"{number}.yaml", MODELINE.format(kind) + body)
    assert len(opened) > 30
    assert {what: editor.diagnostics(name) for name, what in opened.items() if editor.diagnostics(name)} == {}


BAD = {
    "a keyword in the wrong case": ("when: {Modality: CT}", "when: {modality: CT}", "modality"),
    "an unknown operator": ("{at_most: 1.5}", "{at_mots: 1.5}", "at_mots"),
    "a word that is none of those allowed": ("mode: pilot", "mode: pilt", '"shadow", "pilot", "clinical"'),
    "a key that there is not": ("run: density", "runs: density", "runs"),
    "a key that is missing": ("    mode: pilot\n", "", "mode"),
}
RULE = """\
rules:
  - name: chest
    when: {Modality: CT}
    choose: {where: {SliceThickness: {at_most: 1.5}}}
    run: density
    send: [pacs]
    mode: pilot
"""


@pytest.mark.parametrize("slip", BAD)
def test_a_slip_is_underlined(editor: LanguageServer, slip: str) -> None:
    """Where it stands, with what is wrong or could stand there."""
    good, bad, told = BAD[slip]
    text = RULES + RULE.replace(good, bad)
    assert text != RULES + RULE
    name = f"{slip}.yaml".replace(" ", "-")
    editor.open(name, text)
    found = editor.diagnostics(name)
    assert any(told in each for each in found), found
    line = next((at for at, each in enumerate(text.splitlines(), 1) if bad.strip() and bad in each), 3)
    assert any(int(each.split(":")[0]) == line for each in found), found


def test_keywords_are_offered_with_what_they_are(editor: LanguageServer) -> None:
    """While a condition is typed: DICOM keywords and facts by their beginning; behind one, its usual values."""
    text = RULES + "rules:\n  - name: a\n    when:\n      SliceTh\n"
    editor.open("keyword.yaml", text)
    offered = editor.completions("keyword.yaml", 4, len("      SliceTh"))
    assert "Slice Thickness (0018,0050), DS" in str(offered["SliceThickness"])
    assert {"image_count", "any_series", "StudyDescription"} <= offered.keys()
    editor.open("value.yaml", RULES + "rules:\n  - name: a\n    when:\n      Modality: \n")
    assert {"CT", "MG", "US"} <= editor.completions("value.yaml", 4, len("      Modality: ")).keys()
    editor.open("operator.yaml", RULES + "rules:\n  - name: a\n    when:\n      PatientAge:\n        \n")
    assert {"at_least", "matches", "missing"} <= editor.completions("operator.yaml", 5, 8).keys()


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("SliceThickness", "Slice Thickness (0018,0050), DS"),
        ("mode", "pilot: for readers"),
        ("choose", "Which series the plugin is given"),
        ("at_most", "Not above this"),
        ("image_count", "frames count"),
    ],
)
def test_a_word_is_explained_under_the_mouse(editor: LanguageServer, word: str, told: str) -> None:
    """What the schema says of the key."""
    text = RULES + RULE.replace("SliceThickness:", "image_count: {above: 3}, SliceThickness:")
    editor.open(f"hover-{word}.yaml", text)
    line = next(number for number, each in enumerate(text.splitlines()) if word in each)
    assert told in editor.hover(f"hover-{word}.yaml", line, text.splitlines()[line].index(word) + 1)
