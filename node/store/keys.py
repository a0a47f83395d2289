"""The secret that pseudonyms are derived from: `keys/pseudonyms.key` in the data folder, made once.

Who has it can tell whose pseudonyms a plugin got, so it is readable for the node alone. Who loses it gets other
pseudonyms from then on: it belongs into the backup. Behind the secret is its SHA-256: one bit of it that changed would
give every patient another pseudonym, and nobody would see it.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import threading
from pathlib import Path

import structlog

from node.errors import NodeError
from node.store.durable import sync_folder

log = structlog.get_logger(__name__)

FOLDER = "keys"
_FILE = "pseudonyms.key"
_BYTES = 32
_WHAT_TO_DO = "restore it from the backup, or remove it"


class UnusableKeyError(NodeError, OSError):
    """The file is there, but it is not a key; the text is for the admin and names it."""


def secret(data: Path) -> bytes:
    """The secret of a data folder, which is made where there is none; raises OSError.

    Rights of others to it are taken away.
    """
    path = data / FOLDER / _FILE
    if not path.exists():
        _write(path, secrets.token_bytes(_BYTES))
        log.warning("store.pseudonym-key-made", file=str(path))  # at the first start; later it says that one was lost
    _keep_from_others(path)
    content = path.read_bytes()
    key, checksum = content[:_BYTES], content[_BYTES:]
    if len(key) != _BYTES or len(checksum) not in (0, hashlib.sha256().digest_size):
        raise UnusableKeyError(f"{path} has {len(content)} bytes and is no key: {_WHAT_TO_DO}")
    if checksum and checksum != hashlib.sha256(key).digest():
        raise UnusableKeyError(f"{path} is not what was written, by its checksum: {_WHAT_TO_DO}")
    if not checksum:  # as releases of before wrote it
        _write(path, key, instead=True)
    return key


def name_of(key: bytes) -> str:
    """What a secret is called where it must not be shown."""
    return hashlib.sha256(b"name of " + key).hexdigest()[:16]


def _keep_from_others(path: Path) -> None:
    for each, mode in ((path.parent, 0o700), (path, 0o600)):
        found = each.stat().st_mode & 0o777
        if found & ~mode:
            each.chmod(found & mode)
            log.warning("store.pseudonym-key-was-open", file=str(each), mode=f"{found:o}")


def _write(path: Path, key: bytes, *, instead: bool = False) -> None:
    path.parent.mkdir(mode=0o700, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}.part")
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(key + hashlib.sha256(key).digest())
        file.flush()
        os.fsync(file.fileno())
    try:
        if instead:
            part.rename(path)
        else:
            os.link(part, path)  # where two make one, the first counts
    except FileExistsError:
        pass
    finally:
        part.unlink(missing_ok=True)
    sync_folder(path.parent)
    sync_folder(path.parent.parent)
