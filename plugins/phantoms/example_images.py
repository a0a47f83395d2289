"""The images of the examples that come with the plugins, made again: `python -m plugins.phantoms.example_images`.

Each is a phantom whose truth is in the `expected.toml` beside its images.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pydicom import dcmread
from pydicom.uid import JPEGLSLossless

from plugins import manifest
from plugins.phantoms import chest_series, head
from plugins.phantoms.chest import Chest
from plugins.phantoms.chest_series import SeriesHeader
from plugins.phantoms.files import PhantomOrder
from plugins.phantoms.head import HeadHemorrhage, HeadPhantom
from plugins.phantoms.mammogram import BreastLesion, MammogramPhantom
from plugins.phantoms.nodules import EllipsoidalNodule, NoduleChest, SphericalNodule

_PLUGINS = Path(manifest.__file__).parent
_STABLE = (SphericalNodule((70.0, -20.0, -15.0), 16.0), EllipsoidalNodule((121.5, 5.0, 18.0), (9.0, 12.0, 9.0)))


def _chest(chest: Chest, **header: str) -> Callable[[Path], object]:
    return lambda folder: chest_series.write_series(chest, folder, SeriesHeader(**header, jpeg_ls=True))  # type: ignore[arg-type] # of this file


def _nodules(*nodules: SphericalNodule | EllipsoidalNodule, **header: str) -> Callable[[Path], object]:
    chest = NoduleChest(
        size=160, slice_mm=3.0, vessels=False, extent=(-45.0, 45.0), partial_volume=True, nodules=nodules
    )
    return _chest(chest, **header)


def _head(accession_number: str, bleed: HeadHemorrhage | None) -> Callable[[Path], object]:
    phantom = HeadPhantom(size=112, slice_mm=6.0, noise=0.0, bleed=bleed)
    return lambda folder: _compress(head.write_ct(phantom, folder, _head_order(accession_number)))


def _head_mr(accession_number: str) -> Callable[[Path], object]:
    phantom = HeadPhantom(size=112, slice_mm=2.0, field_of_view_mm=224.0, noise=0.0, bleed=None)
    return lambda folder: _compress(head.write_mr(phantom, folder, _head_order(accession_number)))


def _head_order(accession_number: str) -> PhantomOrder:
    return PhantomOrder("Phantom^Head", accession_number=accession_number)


def _compress(paths: Sequence[Path]) -> None:
    for path in paths:
        dataset = dcmread(path)
        dataset.compress(JPEGLSLossless, generate_instance_uid=False)
        dataset.save_as(path)


def _mammogram(folder: Path) -> None:
    mass = BreastLesion("R", "mass", (48.0, 20.0, 14.0), 15.0)
    MammogramPhantom(rows=256, columns=160, pixel_mm=0.75, lesions=(mass,)).write(folder)


IMAGES: Mapping[str, Callable[[Path], object]] = {
    "brain_tissue/examples/phantom_without_a_brain/images": _head_mr("A0014"),
    "lung_density/examples/phantom/images": _chest(Chest(size=96, slice_mm=5.0)),
    "examples/ct_nodules/examples/growth/images": _nodules(SphericalNodule((-90.0, 10.0, 12.0), 20.0), *_STABLE),
    "examples/ct_nodules/examples/growth/prior": _nodules(
        SphericalNodule((-90.0, 10.0, 12.0), 15.0), *_STABLE, accession_number="A0000", study_date="20231004"
    ),
    "examples/ct_nodules/examples/none/images": _nodules(accession_number="A0002"),
    "examples/head_ct_triage/examples/bleed/images": _head("A0010", HeadHemorrhage()),
    "examples/head_ct_triage/examples/none/images": _head("A0011", None),
    "examples/onnx_head_bleed/examples/bleed/images": _head("A0012", HeadHemorrhage()),
    "examples/onnx_head_bleed/examples/none/images": _head("A0013", None),
    "examples/mammography/examples/mass_in_the_right_breast/images": _mammogram,
}
"""Folder below `plugins/`, and what writes its files into a folder."""


def main() -> None:
    """Write all of them in place of those that are there."""
    for name, write in IMAGES.items():
        shutil.rmtree(_PLUGINS / name, ignore_errors=True)
        write(_PLUGINS / name)


if __name__ == "__main__":
    main()
