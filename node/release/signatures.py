"""Signatures of bundles, in the format of minisign: Ed25519 over BLAKE2b-512 of the file, with a trusted comment.

https://jedisct1.github.io/minisign/ has the format; `minisign -V` of Debian reads ours, and we read its.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import BinaryIO

import minisign

from node.errors import PermanentError, UsageError

SUFFIX = ".minisig"
_LARGEST = 4096
"""Bytes of a key or a signature: four short lines."""


def sign(file: Path, secret_key: Path, password: str | None, comment: str) -> Path:
    """Sign `file` with a secret key of minisign; the path of the signature beside it.

    `comment` is signed, too. Raises UsageError where the key cannot be read or its password is missing or wrong.
    """
    try:
        key = minisign.SecretKey.from_bytes(_read(secret_key))
        if key.is_encrypted():
            if password is None:
                raise UsageError(f"{secret_key}: the key has a password: name a file that has it")
            key.decrypt(password)
        with file.open("rb") as data:
            signature = key.sign(data, trusted_comment=comment)
    except minisign.Error as error:
        raise UsageError(f"{secret_key}: {error}") from error
    target = file.with_name(f"{file.name}{SUFFIX}")
    target.write_bytes(bytes(signature) + b"\n")
    return target


def public_key(text: str) -> str:
    """The key as minisign prints it on one line, from that line or from a file that `minisign -G` wrote; UsageError."""
    try:
        if (path := Path(text)).is_file():
            return str(minisign.PublicKey.from_bytes(_read(path)).to_base64(), "ascii")
        return str(minisign.PublicKey.from_base64(text.strip()).to_base64(), "ascii")
    except (minisign.Error, OSError, ValueError) as error:
        raise UsageError(f"{text}: neither a public key of minisign nor a file with one") from error


def key_id(key: str) -> str:
    """How minisign names a public key: 16 hexadecimal digits."""
    return base64.b64decode(key)[2:10][::-1].hex().upper()


def verify(data: BinaryIO, signature: Path, key: str) -> str:
    """Check the signature of all that is in `data` by a public key (`public_key`); its trusted comment.

    Raises PermanentError: the signature is missing, damaged, of another key, or of another file.
    """
    try:
        found = minisign.Signature.from_bytes(_read(signature))
        if not found.is_prehashed():
            raise PermanentError(f"{signature}: in the old form of minisign; sign the bundle again with minisign -S")
        minisign.PublicKey.from_base64(key).verify(data, found)
    except FileNotFoundError:
        raise PermanentError(f"{signature}: the bundle's signature is missing; it belongs beside the bundle") from None
    except (minisign.Error, ValueError) as error:
        raise PermanentError(
            f"{signature}: not a signature of this bundle by the key {key_id(key)} ({error})"
        ) from error
    return str(found.trusted_comment)


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_LARGEST).strip()
