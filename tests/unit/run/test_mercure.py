"""What a module of mercure leaves, made a result: its texts are a stranger's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from node.run.containers import mercure
from node.run.containers.left_files import LEFT, RESULT


@pytest.mark.parametrize(
    ("text", "summary"),
    [
        ("\x1b[31mLarge\x1b[0m\u0000 nodule", "[31mLarge [0m nodule"),
        ("half \ud83d of a character", "half of a character"),
        ("\u202eodule", "odule"),
        ("\u0007", "The module returned no DICOM objects."),
    ],
)
def test_no_character_of_a_notification_costs_the_result(tmp_path: Path, text: str, summary: str) -> None:
    """Colours of a terminal, halves of surrogate pairs: a result may hold none of them, and would be refused."""
    (tmp_path / LEFT).mkdir(parents=True)
    said = json.dumps({"__mercure_notification": {"text": text}})
    (tmp_path / LEFT / RESULT).write_text(said)
    assert mercure.collect(tmp_path) == ""
    assert json.loads((tmp_path / "out" / "result.json").read_text())["summary"] == summary
