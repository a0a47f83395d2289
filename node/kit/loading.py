"""`plugin load`: the image of an archive, for sites without a registry."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from node.errors import UsageError
from node.run.containers import archives, engine
from plugins import manifest
from plugins.manifest import MANIFEST
from plugins.manifest_table import ManifestError
from plugins.runtime import RuntimeKind


@dataclass(frozen=True, slots=True)
class LoadedImage:
    """An image that containers can be made of."""

    id: str
    """What a manifest pins."""
    engine: str
    was_here: bool
    """It was there already, and nothing was loaded."""


def load(archive: Path, containers: str, plugin: Path | None = None) -> LoadedImage:
    """Check an archive, and have the engine take over its image.

    `containers`: what the site runs container images with. `plugin`: the folder of the plugin that pins the image.
    Raises EngineError where the archive is damaged, or the engine refuses it; UsageError where it is not the image that
    the plugin pins, before anything is loaded.
    """
    if not archive.is_file():
        raise UsageError(f"{archive}: there is no such file")
    pinned = _pinned(plugin) if plugin else ""
    found = engine.found(containers)
    digest = archives.check(archive)
    if pinned and "@" not in pinned and pinned != digest:
        raise UsageError(f"{archive} holds {digest}, and {plugin} pins {pinned}: nothing was loaded")
    known = found.image(digest)
    number = known.id if known else found.load(archive)
    if pinned:
        found.pinned(pinned)
    return LoadedImage(number, str(found), known is not None)


def _pinned(folder: Path) -> str:
    try:
        runtime = manifest.load(folder).runtime
    except ManifestError as error:
        raise UsageError(str(error)) from error
    if runtime.kind is not RuntimeKind.CONTAINER:
        raise UsageError(f"{folder / MANIFEST}: it is of kind {runtime.kind}, which has no image")
    return runtime.image
