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


def write(target: Path) -> Path:
    """Write the zip (atomically, replacing an older one) and return its path."""
    root = Path(__file__).resolve().parent
    part = target.with_name(f"{target.name}.{os.getpid()}.part")
    with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(root.rglob("*.py")):
            entry = zipfile.ZipInfo(f"{root.name}/{path.relative_to(root).as_posix()}", _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, path.read_bytes())
    part.replace(target)
    return target
