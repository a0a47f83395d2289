"""Small wheels for bundles: a `pacsnode` that says its version and its schemas, and a library that it needs."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Mapping
from pathlib import Path

_PROGRAM = """
import sys
def main():
    print("{}" if "schema" in sys.argv else "pacsnode %s")
if __name__ == "__main__":
    main()
"""


def wheel(folder: Path, name: str, version: str, files: Mapping[str, str], *about: str) -> Path:
    """A wheel of these files; `about`: further lines of its metadata."""
    path, info = folder / f"{name}-{version}-py3-none-any.whl", f"{name}-{version}.dist-info"
    metadata = "\n".join(["Metadata-Version: 2.4", f"Name: {name}", f"Version: {version}", *about, ""])
    content = {
        **files,
        f"{info}/METADATA": metadata,
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    if name == "pacsnode":
        content[f"{info}/entry_points.txt"] = "[console_scripts]\npacsnode = node.cli.__main__:main\n"
    content[f"{info}/RECORD"] = "".join(f"{each},,\n" for each in [*content, f"{info}/RECORD"])
    with zipfile.ZipFile(path, "w") as made:
        for each, text in content.items():
            made.writestr(zipfile.ZipInfo(each), text)
    return path


def wheelhouse(folder: Path, version: str = "9.1.0") -> Path:
    """A folder with both wheels, and the lock file beside them."""
    folder.mkdir(parents=True, exist_ok=True)
    program = {"node/__init__.py": "", "node/cli/__init__.py": "", "node/cli/__main__.py": _PROGRAM % version}
    wheel(folder, "pacsnode", version, program, "License-Expression: Apache-2.0", "Requires-Dist: tinylib")
    tiny = wheel(folder, "tinylib", "1.0", {"tinylib.py": "X = 1\n"}, "License-Expression: MIT")
    digest = hashlib.sha256(tiny.read_bytes()).hexdigest()
    lock = f"tinylib==1.0 ; sys_platform == 'linux' \\\n    --hash=sha256:{digest}\n    # via pacsnode\n"
    other = f"winlib==1.0 ; sys_platform == 'win32' \\\n    --hash=sha256:{'0' * 64}\n"
    (folder / "requirements.lock").write_text(lock + other)
    return folder
