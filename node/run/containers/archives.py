"""Archives of one image, as `podman save` and `docker save` write them, checked before an engine gets them.

In both forms everything that counts is named by its SHA-256: the blobs of an OCI layout (image-spec, image-layout.md),
and the configuration and layers of a docker archive, whose digests the configuration has. An engine that has a layer
already does not look at the one of the archive: so a damaged archive is refused here, whatever it has.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from node.run.containers.engine import EngineError

_PIECE = 2**20
_MOST_JSON = 16 * 2**20
_BLOBS = "blobs/sha256/"
_GZIP = b"\x1f\x8b"


class ArchiveError(EngineError):
    """A file that is no archive of one image, or a damaged one; the message says which."""


def check(path: Path) -> str:
    """The digest of the image's configuration, `sha256:…`; ArchiveError where anything is not what it is named."""
    try:
        with tarfile.open(path) as archive:
            members = {each.name.removeprefix("./"): each for each in archive if not each.isdir()}
            if "manifest.json" in members:
                return _docker(_ArchiveContents(archive, members, path))
            if "index.json" in members:
                return _oci(_ArchiveContents(archive, members, path))
    except (OSError, EOFError, tarfile.TarError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise ArchiveError(f"{path}: it is damaged, or no archive of an image: {error}") from error
    raise ArchiveError(f"{path}: no archive of an image, as `podman save` or `docker save` writes one")


class _ArchiveContents:
    """What is in an archive, by name."""

    def __init__(self, archive: tarfile.TarFile, members: Mapping[str, tarfile.TarInfo], path: Path) -> None:
        self._archive, self._members, self._path = archive, members, path

    def open(self, name: str) -> IO[bytes]:
        """A file; ArchiveError where it is not there."""
        member = self._members.get(name)
        file = self._archive.extractfile(member) if member else None
        if file is None:
            raise ArchiveError(f"{self._path}: it is damaged: {name} is missing")
        return file

    def document(self, name: str) -> Any:
        """A JSON file."""
        with self.open(name) as file:
            return json.loads(file.read(_MOST_JSON))

    def require(self, name: str, digest: str, *, unpacked: bool = False) -> None:
        """ArchiveError where a file has not this SHA-256. `unpacked`: of what it holds, where it is compressed."""
        with self.open(name) as file:
            packed = unpacked and file.read(2) == _GZIP
            file.seek(0)
            found = _digest(gzip.GzipFile(fileobj=file)) if packed else _digest(file)
        if found != digest.removeprefix("sha256:"):
            raise ArchiveError(f"{self._path}: it is damaged: {name} is not what its digest says")

    def blob(self, descriptor: Mapping[str, Any]) -> str:
        """The name of a blob that is what its descriptor says."""
        name = _BLOBS + str(descriptor["digest"]).removeprefix("sha256:")
        self.require(name, descriptor["digest"])
        return name


def _docker(contents: _ArchiveContents) -> str:
    entries = contents.document("manifest.json")
    if len(entries) != 1:
        raise ArchiveError(f"{contents._path}: it holds {len(entries)} images, and one is loaded at a time")
    name, layers = entries[0]["Config"], entries[0]["Layers"]
    digest = Path(name).name.removesuffix(".json")
    contents.require(name, digest)
    known = contents.document(name)["rootfs"]["diff_ids"]
    if len(known) != len(layers):
        raise ArchiveError(f"{contents._path}: it is damaged: {len(layers)} layers, and the image has {len(known)}")
    for layer, layer_digest in zip(layers, known, strict=True):
        contents.require(layer, layer_digest, unpacked=True)
    return f"sha256:{digest}"


def _oci(contents: _ArchiveContents) -> str:
    entries = contents.document("index.json")["manifests"]
    if len(entries) != 1:
        raise ArchiveError(f"{contents._path}: it holds {len(entries)} images, and one is loaded at a time")
    manifest = contents.document(contents.blob(entries[0]))
    if "config" not in manifest:
        raise ArchiveError(f"{contents._path}: it holds an image for several machines: save the one for this machine")
    for each in (manifest["config"], *manifest["layers"]):
        contents.blob(each)
    return str(manifest["config"]["digest"])


def _digest(file: IO[bytes] | gzip.GzipFile) -> str:
    found = hashlib.sha256()
    while piece := file.read(_PIECE):
        found.update(piece)
    return found.hexdigest()
