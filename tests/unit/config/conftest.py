"""A folder to write configurations in."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.sites.configurations import MANIFEST, Write


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write config.yaml beside a plugin called `mine`; returns its path."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "plugin.toml").write_text(MANIFEST)
    (tmp_path / "mine" / "run").write_text("#!/bin/sh\n")

    def to(text: str) -> Path:
        path = tmp_path / "config.yaml"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return to
