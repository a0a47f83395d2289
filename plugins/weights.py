"""The files that hold what a model learnt, as the patterns of its `plugin.toml` name them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from plugins.manifest_table import ManifestTable


def read(table: ManifestTable, folder: Path) -> tuple[str, ...]:
    """The patterns, each of which matches a file; raises ManifestError."""
    patterns: tuple[str, ...] = table.texts("weights", ())
    for pattern in patterns:
        if Path(pattern).is_absolute() or ".." in Path(pattern).parts:
            raise table.error("weights", f"{pattern!r} leaves the plugin's folder")
        if not any(matching(folder, pattern)):
            raise table.error("weights", f"{pattern!r} matches no file in {folder}")
    return patterns


def matching(folder: Path, pattern: str) -> Iterator[Path]:
    """Files of a folder that a pattern matches now."""
    return (path for path in folder.glob(pattern) if path.is_file())
