"""What a plugin's process left behind, distrusted: its result is read, checked and only then kept.

`plugins.exchange` refuses a result that is malformed, leaves its folder or names what the plugin was
not given (faults.md 73). Here it is held against what the exchange does not know: the manifest, and the
size of the images that it points into.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from node.durable import sync_folder, write_durably
from node.run import process
from node.run.inputs import Inputs
from plugins import exchange
from plugins.contract import ImageReference, Result
from plugins.exchange import Request
from plugins.manifest import Manifest
from plugins.untrusted import ExchangeError

KEPT = "plugin"
"""In `results/<job>/`: request.json and out/, as `plugins.exchange` lays them out, without the images."""
LOG = "log.txt"
"""In `results/<job>/`: what the plugin printed, attempt by attempt."""
_LOG_BYTES = 4 * 2**20
_LOG_TOTAL = 16 * 2**20


def read(folder: Path, inputs: Inputs, manifest: Manifest) -> Result:
    """The result in a job's folder; `ExchangeError` names what is wrong with it."""
    result = exchange.read_result(folder, inputs.request)
    problem = next(iter(manifest.undeclared(result)), None) or next(_misfits(result, inputs.images), None)
    if problem:
        raise ExchangeError(f"{exchange.OUT}/{exchange.RESULT}", "", problem)
    return result


def _misfits(result: Result, images: Mapping[str, tuple[int, int] | None]) -> Iterator[str]:
    """Maps of another size than their images, and regions that lie outside of theirs."""
    maps: list[tuple[str, Sequence[NDArray[Any]], tuple[ImageReference, ...]]] = []
    if result.segmentation:
        maps.append(("segmentation", result.segmentation.planes, result.segmentation.frames))
    maps += [("heat map", list(heatmap.values), heatmap.frames) for heatmap in result.heatmaps]
    for what, planes, frames in maps:
        sizes = {(plane.shape, images.get(f.sop_instance_uid)) for plane, f in zip(planes, frames, strict=True)}
        for shape, size in sizes:
            if size is not None and shape != size:
                yield f"the {what} has {_shown(shape)} pixels a slice, its images have {_shown(size)}"
    for finding in result.findings:
        for region in finding.regions:
            size = images.get(region.image.sop_instance_uid) if isinstance(region.image, ImageReference) else None
            if size and ((region.points[:, 0] > size[1]).any() or (region.points[:, 1] > size[0]).any()):
                yield f"a region of {finding.code.meaning!r} lies outside of its image, which has {_shown(size)} pixels"


def _shown(size: tuple[int, ...] | None) -> str:
    return " × ".join(map(str, size or ()))


def keep(result: Result, request: Request, results: Path, job: str, given: bytes | None) -> Path:
    """Make the result durable in `results/<job>/plugin` and return that folder.

    What is written is what was checked, not the plugin's own files: nothing else of `out/` gets in.
    `given` is request.json as the plugin got it; where it got none, `request` is kept without images.
    """
    target = results / job / KEPT
    part = target.with_name(f"{KEPT}.part")
    for old in (part, target):  # of an attempt that ended between here and the ledger
        if old.exists():
            shutil.rmtree(old)
    (part / exchange.OUT).mkdir(parents=True, mode=0o700)
    exchange.write_result(part, result)
    if given is None:
        exchange.write_request(part, replace(request, series=()))
        (part / exchange.SCRATCH).rmdir()
    else:
        write_durably(part / exchange.REQUEST, given)
    part.rename(target)
    sync_folder(target.parent)
    sync_folder(results)
    return target


def keep_log(folder: Path, results: Path, job: str, heading: str) -> None:
    """Append what an attempt printed, under a heading, to `results/<job>/log.txt`, which stays bounded."""
    target = results / job / LOG
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with target.open("ab") as file:
        if file.tell() > _LOG_TOTAL:
            return
        file.write(f"--- {heading}\n".encode())
        for part in (folder / process.LOG, folder / exchange.OUT / exchange.LOG):
            file.write(_end_of(part))


def _end_of(path: Path) -> bytes:
    """What a file holds, of a long one the end; nothing where it is no file of the plugin's own (a link, a pipe)."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return b""
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
            return b""
        file.seek(max(0, status.st_size - _LOG_BYTES))
        content = file.read(_LOG_BYTES)
    return content if content.endswith(b"\n") or not content else content + b"\n"


def remove(folder: Path) -> None:
    """Remove a folder that a plugin wrote into, whatever permissions it left there; OSError where it cannot be."""
    if not folder.exists():
        return
    try:
        shutil.rmtree(folder)
    except PermissionError:
        folder.chmod(0o700)
        for parent, names, _ in os.walk(folder):
            for name in names:
                path = Path(parent, name)
                if not path.is_symlink():
                    path.chmod(0o700)
        shutil.rmtree(folder)
