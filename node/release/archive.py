"""The file of a bundle: an uncompressed tar of regular files, the first of which names all the others.

    manifest.json     what the bundle is of (`BundleManifest`), with size and SHA-256 of every other member
    requirements.txt  every wheel with its hash, for pip
    wheels/           pacsnode's own wheel and all that it needs
    sbom.cdx.json     CycloneDX 1.6
    schemas/ docs/    of this release
    plugins/NAME/     those named when the bundle was made
    image/NAME        the archive of a container image, where one was named

Equal contents give equal bytes: members are sorted, and have neither an owner nor a time. Nothing is compressed again,
since wheels are: a small file can never become a large one, and any tool shows what is inside.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from node.errors import PermanentError

MANIFEST = "manifest.json"
REQUIREMENTS = "requirements.txt"
WHEELS = "wheels"
SBOM = "sbom.cdx.json"
FORMAT = 1
_LARGEST_MANIFEST = 32 << 20
_CHUNK = 1 << 20
_PART = re.compile(r"[A-Za-z0-9_+@~,=()\[\]-][A-Za-z0-9_.+@~,=()\[\] -]*")
"""A folder's or a file's name: none is `.` or `..`, or hidden."""


@dataclass(frozen=True, slots=True)
class BundleMember:
    """A file of a bundle."""

    path: str
    size: int
    """Bytes."""
    sha256: str
    executable: bool = False


@dataclass(frozen=True, slots=True)
class BundleManifest:
    """What a bundle is of."""

    version: str
    """Of pacsnode."""
    python: str
    """Whose wheels these are, as in 3.11."""
    platform: str
    """Tag of the newest platform that the wheels may need, as in manylinux_2_28_x86_64."""
    unpacked: int
    """Bytes that it takes when it is installed."""
    members: tuple[BundleMember, ...]

    def to_json(self) -> bytes:
        """As it is in the bundle."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=1, sort_keys=True).encode() + b"\n"

    @classmethod
    def from_json(cls, text: bytes) -> BundleManifest:
        """Raises PermanentError where it is not one that this program can read."""
        try:
            found = json.loads(text)
            if found["format"] != FORMAT:
                raise PermanentError(f"{MANIFEST}: format {found['format']}, and this pacsnode reads format {FORMAT}")
            return cls(
                version=_text(found["version"]),
                python=_text(found["python"]),
                platform=_text(found["platform"]),
                unpacked=_number(found["unpacked"]),
                members=tuple(_member(each) for each in found["members"]),
            )
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise PermanentError(f"{MANIFEST}: not the manifest of a bundle ({error})") from error


def _text(value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.+!-]*", value):
        raise ValueError(f"{value!r} is not a name")
    return value


def _number(value: object) -> int:
    if not isinstance(value, int) or value < 0:
        raise ValueError(f"{value!r} is not a size")
    return value


def _member(said: Mapping[str, Any]) -> BundleMember:
    sha256 = said["sha256"]
    if not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise ValueError(f"{sha256!r} is not a SHA-256")
    return BundleMember(checked_path(said["path"]), _number(said["size"]), sha256, bool(said["executable"]))


def checked_path(path: str) -> str:
    """A relative path of plain names; PermanentError."""
    if len(path) > 400 or not all(_PART.fullmatch(part) for part in path.split("/")):
        raise PermanentError(f"the bundle has a member {path[:80]!r}: not a path inside of it")
    return path


def write(target: BinaryIO, manifest: BundleManifest, files: Mapping[str, Path | bytes]) -> None:
    """Write a bundle; `files`: the content of each member, as a file or as bytes."""
    with tarfile.open(fileobj=target, mode="w", format=tarfile.GNU_FORMAT) as tar:
        text = manifest.to_json()
        tar.addfile(_header(MANIFEST, len(text), executable=False), io.BytesIO(text))
        for member in manifest.members:
            header, content = _header(member.path, member.size, executable=member.executable), files[member.path]
            if isinstance(content, bytes):
                tar.addfile(header, io.BytesIO(content))
            else:
                with content.open("rb") as file:
                    tar.addfile(header, file)


def member_of(path: str, content: Path | bytes) -> BundleMember:
    """What the manifest says of a file; an executable one stays so."""
    if isinstance(content, bytes):
        return BundleMember(checked_path(path), len(content), hashlib.sha256(content).hexdigest())
    state = content.stat()
    with content.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return BundleMember(checked_path(path), state.st_size, digest, bool(state.st_mode & 0o100))


def _header(path: str, size: int, *, executable: bool) -> tarfile.TarInfo:
    made = tarfile.TarInfo(path)
    made.size, made.mode = size, 0o755 if executable else 0o644
    return made


@dataclass
class BundleReader:
    """A bundle that is read from its start, one member after the other."""

    manifest: BundleManifest
    _tar: tarfile.TarFile

    @classmethod
    def open(cls, file: BinaryIO) -> BundleReader:
        """Read the manifest; PermanentError where it is not the first member, or the file is not a tar."""
        try:
            tar = tarfile.open(fileobj=file, mode="r:", errorlevel=2)  # noqa: SIM115 - the caller's file is closed by the caller
            first = tar.next()
            if first is None or not _is_plain(first) or first.name != MANIFEST or first.size > _LARGEST_MANIFEST:
                raise PermanentError(f"the file does not begin with the {MANIFEST} of a bundle")
            content = tar.extractfile(first)
            assert content is not None, "a regular file"
            return cls(BundleManifest.from_json(content.read()), tar)
        except (tarfile.TarError, EOFError, OSError) as error:
            raise PermanentError(f"not a bundle of pacsnode ({error})") from error

    def contents(self) -> Iterator[tuple[BundleMember, Iterator[bytes]]]:
        """Each member with the pieces of its content.

        Raises PermanentError where the file has other members than its manifest names, or a content is not what its
        digest says: right after the last piece, so nothing may be used before the next step.
        """
        awaited = {each.path: each for each in self.manifest.members}
        if len(awaited) != len(self.manifest.members):
            raise PermanentError(f"{MANIFEST}: names a member twice")
        try:
            while (info := self._tar.next()) is not None:
                member = awaited.pop(info.name, None)
                if member is None:
                    raise PermanentError(
                        f"the bundle has {info.name[:80]!r}, once more or without a line in {MANIFEST}"
                    )
                if not _is_plain(info) or info.size != member.size:
                    raise PermanentError(f"the bundle's {member.path} is not the regular file that {MANIFEST} names")
                yield member, self._pieces(info, member)
        except (tarfile.TarError, EOFError) as error:
            raise PermanentError(f"the bundle is damaged ({error})") from error
        if awaited:
            raise PermanentError(
                f"the bundle lacks {', '.join(sorted(awaited)[:3])}: {len(awaited)} members are missing"
            )

    def _pieces(self, info: tarfile.TarInfo, member: BundleMember) -> Iterator[bytes]:
        content, digest = self._tar.extractfile(info), hashlib.sha256()
        assert content is not None, "a regular file"
        while piece := content.read(_CHUNK):
            digest.update(piece)
            yield piece
        if digest.hexdigest() != member.sha256:
            raise PermanentError(f"the bundle's {member.path} is not what {MANIFEST} says: its content was changed")


def _is_plain(info: tarfile.TarInfo) -> bool:
    """A regular file in full length: no link, device, folder or file with holes."""
    return info.type == tarfile.REGTYPE and not info.pax_headers and not info.issparse()


def unpacked_size(members: Sequence[BundleMember], wheels: int) -> int:
    """Bytes that a release takes: its members beside the wheels, and what the wheels unpack to with their bytecode."""
    beside = sum(each.size for each in members if not each.path.startswith(f"{WHEELS}/"))
    return beside + wheels * 3 // 2
