"""Real DICOM files, which stand beside the repository (`../shared/data`) and are never part of it."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHARED_DATA = ROOT.parent / "shared" / "data"


def shared_data(name: str = "") -> Path:
    """Return the file or folder `name` of the real data; skip the test, saying so, where it is absent."""
    path = SHARED_DATA / name
    if not path.exists():
        pytest.skip(f"real files missing: ../shared/data/{name}")
    return path
