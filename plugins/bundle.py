"""`plugins/` as one zip: all that a plugin's interpreter needs on its path besides numpy (and pydicom).

The worker of a plugin runs as `PYTHONPATH=plugins.zip python -P -m plugins.worker FOLDER`, so that
neither the node's packages nor a vendor's own `plugins` folder get in the way. The same sources give
the same bytes.
"""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time a zip can hold: the bytes must not depend on the day


_ROOT = Path(__file__).resolve().parent


def contract() -> list[Path]:
    """The sources that every plugin runs with: all but those of the plugins that ship with the node."""
    own = {path.parent for path in _ROOT.glob("*/plugin.toml")}
    return [path for path in _sources() if own.isdisjoint(path.parents)]


def _sources() -> list[Path]:
    return sorted(_ROOT.rglob("*.py"))


def write(target: Path) -> Path:
    """Write the zip (atomically, replacing an older one) and return its path."""
    part = target.with_name(f"{target.name}.{os.getpid()}.part")
    with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in _sources():
            entry = zipfile.ZipInfo(f"{_ROOT.name}/{path.relative_to(_ROOT).as_posix()}", _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, path.read_bytes())
    part.replace(target)
    return target
