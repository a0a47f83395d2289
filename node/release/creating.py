"""Making a bundle, where there is internet or a folder of wheels. Equal inputs give equal bytes."""

from __future__ import annotations

import hashlib
import os
import tempfile
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from node.errors import PermanentError, UsageError
from node.release import archive, sbom, wheels
from node.release.archive import REQUIREMENTS, SBOM, WHEELS, BundleManifest
from node.release.sbom import OtherPart
from node.release.wheels import Wheel, WheelTarget
from node.store.durable import sha256_of, sync_folder

_SCHEMAS = {"schemas/configuration.json": [], "schemas/rules.json": ["--rules"]}
_PAGES = ("README.md", "CHANGELOG.md", "LICENSE", "config.example.yaml")
_LEFT_OUT = frozenset({"__pycache__", ".git", ".venv"})


@dataclass(frozen=True, slots=True)
class BundleInputs:
    """What a bundle is made of."""

    source: Path
    """A checkout: lock file, documentation, and pacsnode's own source."""
    lock: Path
    target: WheelTarget
    wheels: Path | None = None
    """A folder of wheels; None: pip gets them."""
    wheel: Path | None = None
    """pacsnode's own; None: from `wheels`, or built from `source`."""
    image: Path | None = None
    plugins: Sequence[Path] = ()


def create(inputs: BundleInputs, target: Path) -> BundleManifest:
    """Write the bundle to `target`: whole, or not at all. Raises UsageError or PermanentError."""
    wheels.check_tools()
    if not target.parent.is_dir():
        raise UsageError(f"{target.parent}: there is no such folder")
    with tempfile.TemporaryDirectory(prefix="pacsnode-bundle-") as scratch:
        folder = Path(scratch)
        needed = wheels.collect(inputs.lock, inputs.target, inputs.wheels, folder)
        own = wheels.own_wheel(inputs.source, inputs.wheels, inputs.wheel, folder)
        files = dict(_files(inputs, own, [each for each in needed if each.name != wheels.OWN]))
        manifest = _manifest(inputs.target, own, needed, files)
        part = target.with_name(f".{target.name}.part")
        try:
            with part.open("wb") as out:
                archive.write(out, manifest, files)
                out.flush()
                os.fsync(out.fileno())
            part.rename(target)
        finally:
            part.unlink(missing_ok=True)
        sync_folder(target.parent)
    return manifest


def _manifest(
    target: WheelTarget, own: Wheel, needed: Sequence[Wheel], files: Mapping[str, Path | bytes]
) -> BundleManifest:
    members = tuple(archive.member_of(path, files[path]) for path in sorted(files))
    unpacked = sum(each.unpacked for each in (own, *needed))
    return BundleManifest(
        own.version, target.python, target.platform, archive.unpacked_size(members, unpacked), members
    )


def _files(inputs: BundleInputs, own: Wheel, needed: Sequence[Wheel]) -> Iterator[tuple[str, Path | bytes]]:
    others: list[OtherPart] = []
    for each in (own, *needed):
        yield f"{WHEELS}/{each.file.name}", each.file
    for path in inputs.plugins:
        content = dict(_plugin(path))
        others.append(_plugin_part(path, content))
        yield from content.items()
    if inputs.image is not None:
        if not inputs.image.is_file():
            raise UsageError(f"{inputs.image}: there is no such archive of an image (podman save makes one)")
        others.append(OtherPart(inputs.image.name, None, sha256_of(inputs.image), is_image=True))
        yield f"image/{inputs.image.name}", inputs.image
    lines = sorted(each.requirement for each in (own, *needed))
    yield REQUIREMENTS, "".join(f"{line}\n" for line in lines).encode()
    yield SBOM, sbom.make(own, needed, others)
    for name, options in _SCHEMAS.items():
        yield name, wheels.output_of(own, ["schema", *options])
    for name in _PAGES:
        if (inputs.source / name).is_file():
            yield f"docs/{name}", inputs.source / name
    for path in sorted((inputs.source / "docs").rglob("*")):
        if path.is_file():
            yield f"docs/{path.relative_to(inputs.source / 'docs').as_posix()}", path


def _plugin(folder: Path) -> Iterator[tuple[str, Path]]:
    """The files of a plugin's folder, under its name."""
    if not (folder / "plugin.toml").is_file():
        raise UsageError(f"{folder}: not the folder of a plugin (it has no plugin.toml)")
    name = folder.resolve().name
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if _LEFT_OUT & set(inside.parts):
            continue
        if path.is_symlink():
            raise UsageError(f"{path}: a link; a bundle takes regular files alone")
        if path.is_file():
            yield f"plugins/{name}/{inside.as_posix()}", path


def _plugin_part(folder: Path, content: Mapping[str, Path]) -> OtherPart:
    try:
        said = tomllib.loads((folder / "plugin.toml").read_text(encoding="utf-8"))
    except ValueError as error:
        raise PermanentError(f"{folder / 'plugin.toml'}: {error}") from error
    version = said.get("identity", {}).get("version")
    digest = hashlib.sha256("".join(f"{sha256_of(file)}  {path}\n" for path, file in content.items()).encode())
    return OtherPart(folder.resolve().name, str(version) if version else None, digest.hexdigest())
