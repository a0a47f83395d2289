"""Verifying a bundle: its signature first, then every content against the signed manifest."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from node.errors import PermanentError, TransientError
from node.release import signatures
from node.release.archive import BundleManifest, BundleReader

_COPY = 1 << 20


def verify(bundle: Path, key: str) -> BundleManifest:
    """Check the whole bundle by a public key; nothing is unpacked. Raises PermanentError."""
    with _opened(bundle) as file:
        signatures.verify(file, signature_of(bundle), key)
        file.seek(0)
        reader = BundleReader.open(file)
        for _, pieces in reader.contents():
            for _ in pieces:
                pass
    return reader.manifest


def signature_of(bundle: Path) -> Path:
    """Where the signature of a bundle is."""
    return bundle.with_name(f"{bundle.name}{signatures.SUFFIX}")


@contextmanager
def own_copy(bundle: Path, folder: Path) -> Iterator[Path]:
    """A copy of bundle and signature in a folder that nobody else can write to, removed afterwards.

    What is verified is then what is unpacked, whoever may change the file that was named.
    """
    made = folder / ".bundle"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for source, target in ((bundle, made), (signature_of(bundle), signature_of(made))):
            target.unlink(missing_ok=True)
            with (
                _opened(source) as file,
                open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb") as out,
            ):
                shutil.copyfileobj(file, out, _COPY)
        yield made
    except OSError as error:
        raise TransientError(f"{error.filename or folder}: {error.strerror}") from error
    finally:
        made.unlink(missing_ok=True)
        signature_of(made).unlink(missing_ok=True)


def unpack(bundle: Path, key: str, folder: Path) -> BundleManifest:
    """Verify `bundle` and write its members into the empty `folder`; PermanentError where it may not be used.

    Nothing is written before the signature is right; the caller removes what was written where a digest is not.
    """
    with _opened(bundle) as file:
        signatures.verify(file, signature_of(bundle), key)
        file.seek(0)
        reader = BundleReader.open(file)
        for member, pieces in reader.contents():
            target = folder / member.path
            target.parent.mkdir(parents=True, exist_ok=True)
            mode = 0o755 if member.executable else 0o644
            with open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode), "wb") as out:
                for piece in pieces:
                    out.write(piece)
                out.flush()
                os.fsync(out.fileno())
    return reader.manifest


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        file = path.open("rb")
    except OSError as error:
        raise PermanentError(
            f"{path}: {error.strerror}; a bundle and its {signatures.SUFFIX} belong together"
        ) from error
    with file:
        yield file
