"""README.md and the Makefile speak of the same commands."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def offered() -> set[str]:
    """The targets that the Makefile offers: those that `make help` lists."""
    return set(re.findall(r"^([a-z][\w-]*):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)) - {"help"}


def told() -> set[str]:
    """What README.md tells the reader to make, in code blocks and in `code`."""
    code = re.findall(r"^```.*?^```|`[^`\n]+`", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    return {target for piece in code for target in re.findall(r"\bmake ([a-z][\w-]*)", piece)}


def test_every_make_command_of_the_readme_exists() -> None:
    """Nobody is told to type a command that is not there."""
    assert told() - offered() == set()


def test_the_readme_names_every_command() -> None:
    """Whoever has read README.md knows all that `make` can do here."""
    assert offered() - told() == set()
