"""Which files `pacsnode install` wrote, and as what: so it is seen whether a person has changed one since."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

from node.errors import PermanentError
from node.installation import places


def read(root: Path) -> dict[str, str]:
    """SHA-256 of each file as it was written, by its path on the machine; empty where nothing was installed."""
    file = places.below(root, places.RECORD)
    try:
        said = json.loads(file.read_text(encoding="utf-8"))
        return {str(name): str(digest) for name, digest in said["files"].items()}
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PermanentError(f"{file} is not what `pacsnode install` wrote: {error}") from error


def write(root: Path, files: Mapping[str, str]) -> None:
    """Keep it."""
    write_file(places.below(root, places.RECORD), json.dumps({"files": dict(sorted(files.items()))}, indent=1) + "\n")


def digest(text: str) -> str:
    """Of a file's text."""
    return hashlib.sha256(text.encode()).hexdigest()


def write_file(path: Path, text: str) -> None:
    """Whole or not at all, for everybody to read. Raises PermanentError with the path."""
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.unlink(missing_ok=True)
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
        with open(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(descriptor, 0o644)
            file.write(text)
        part.rename(path)
    except OSError as error:
        raise PermanentError(f"{path} cannot be written: {error.strerror}") from error


def current(path: Path) -> str | None:
    """What a file says now; None where there is none. Raises PermanentError where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise PermanentError(f"{path} cannot be read: {error.strerror}") from error
