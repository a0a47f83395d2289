"""brain_tissue: what cannot be a brain is refused, with the reason."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from plugins.brain_tissue import plausibility
from plugins.brain_tissue.network import GREY, WHITE
from plugins.contract import NotApplicableError

_SHAPE = (140, 130, 170)


def ellipsoid(centre: tuple[float, float, float], half_axes: tuple[float, float, float]) -> NDArray[np.bool_]:
    grid = np.ogrid[: _SHAPE[0], : _SHAPE[1], : _SHAPE[2]]
    parts = (((axis - c) / half) ** 2 for axis, c, half in zip(grid, centre, half_axes, strict=True))
    return np.asarray(sum(parts) <= 1)


def brain() -> NDArray[np.uint8]:
    """Labels in the form of a brain: two hemispheres, and a cerebellum with a stem behind and below."""
    labels = np.where(ellipsoid((70, 58, 85), (64, 52, 80)), np.uint8(GREY), np.uint8(0))
    labels[ellipsoid((70, 98, 55), (42, 26, 28))] = GREY
    labels[ellipsoid((70, 60, 85), (46, 38, 60))] = WHITE
    labels[ellipsoid((70, 106, 61), (12, 22, 12))] = WHITE
    return labels


@pytest.fixture(scope="module")
def labels() -> NDArray[np.uint8]:
    made = brain()
    made.flags.writeable = False
    return made


def image_of(labels: NDArray[np.uint8], white: float = 1.02, grey: float = 0.78) -> NDArray[np.float32]:
    return np.array([0.3, white, grey], np.float32)[labels]


def changed(labels: NDArray[np.uint8], part: tuple[slice, ...], value: int = 0) -> NDArray[np.uint8]:
    made = np.array(labels)
    made[part] = np.where(made[part] > 0, value, 0)
    return made


def refused(labels: NDArray[np.uint8], reason: str, *, islands: int = 0, **brightness: float) -> None:
    with pytest.raises(NotApplicableError, match=reason):
        plausibility.refuse_implausible(image_of(labels, **brightness), labels, islands)


def test_a_brain_is_let_pass(labels: NDArray[np.uint8]) -> None:
    """What the other tests change is nothing that is refused by itself."""
    plausibility.refuse_implausible(image_of(labels), labels, 9_999)
    plausibility.refuse_cut_off(labels, (1.0, 1.0, 1.0))
    for factor in plausibility.FACTORS:
        plausibility.refuse_unstable(labels, labels, factor)


def test_brightness_that_is_not_that_of_t1_is_refused(labels: NDArray[np.uint8]) -> None:
    """Inverted contrast, white matter too dark or too bright for the network, one tissue only, nothing at all."""
    refused(labels, "contrast is inverted", white=0.9, grey=1.0)
    refused(labels, "White matter has 0.80 of the brightness", white=0.8, grey=0.6)
    refused(labels, "White matter has 1.40 of the brightness", white=1.4)
    refused(changed(labels, np.s_[:, :, :], GREY), "were not both found")
    refused(np.zeros_like(labels), "No brain was found")


def test_volumes_that_are_not_those_of_a_brain_are_refused(labels: NDArray[np.uint8]) -> None:
    """Their sum, their ratio, what lies apart, and the size of the whole."""
    less_white = np.where(ndimage.binary_erosion(labels == WHITE, iterations=12), WHITE, np.minimum(labels, 1) * GREY)
    refused(less_white.astype(np.uint8), "White to grey matter is 0.")
    thin = ndimage.binary_erosion(labels > 0, iterations=4)
    refused(np.where(thin, WHITE, np.minimum(labels, 1) * GREY).astype(np.uint8), "White to grey matter is [1-9]")
    refused(changed(labels, np.s_[:, :, 80:]), "Grey and white matter together have")
    refused(labels, "11 mL of what looks like brain lie apart", islands=11_000)
    longer = np.array(labels)
    longer = np.pad(longer, ((0, 0), (0, 60), (0, 0)))
    longer[69:71, 110:, 60:62] = WHITE
    refused(longer, "mm high; a brain has 95 to 175 mm")


def test_a_head_that_does_not_lie_as_its_header_says_is_refused(labels: NDArray[np.uint8]) -> None:
    """Upside down, back to front, and turned by half: stem and cerebellum are not below and behind."""
    for axes in ((1,), (2,), (1, 2)):
        refused(np.ascontiguousarray(np.flip(labels, axes)), "does not lie as the header says")


def test_a_half_is_refused(labels: NDArray[np.uint8]) -> None:
    """One tissue that differs between the halves, and a brain without its mirror image."""
    one_sided = np.array(labels)
    one_sided[:60][one_sided[:60] == WHITE] = GREY
    refused(one_sided, "halves of the brain differ by")
    lopsided = np.array(labels)
    lopsided[:62, :, 85:] = 0
    refused(lopsided, "halves of the brain differ by|counterpart on the other side|together have")


@pytest.mark.parametrize(
    "part", [np.s_[:32], np.s_[105:], np.s_[:, :22], np.s_[:, 88:], np.s_[:, :, :37], np.s_[:, :, 127:]]
)
def test_a_scan_that_ends_within_the_brain_is_refused(labels: NDArray[np.uint8], part: tuple[slice, ...]) -> None:
    """At each side, also where the grid goes on and only the pixels end."""
    with pytest.raises(NotApplicableError, match="end within the brain"):
        plausibility.refuse_cut_off(changed(labels, part), (1.0, 1.0, 1.0))


def test_labels_that_brightness_changes_are_refused(labels: NDArray[np.uint8]) -> None:
    """By what is another tissue in images that are brighter or darker."""
    thinner = np.where(ndimage.binary_erosion(labels > 0, iterations=6), labels, 0).astype(np.uint8)
    with pytest.raises(NotApplicableError, match=r"10 % darker, [2-6]\d % of a tissue would be another"):
        plausibility.refuse_unstable(labels, thinner, 0.9)
    with pytest.raises(NotApplicableError, match=r"10 % brighter, 100 % of a tissue"):
        plausibility.refuse_unstable(labels, np.zeros_like(labels), 1.1)


def test_what_is_no_head_in_air_is_refused() -> None:
    """Too little that is bright; noise everywhere instead of air."""
    generator = np.random.default_rng(1)
    with pytest.raises(NotApplicableError, match="no head in the images"):
        plausibility.refuse_headless(generator.integers(0, 9, (64,) * 3).astype(np.uint8))
    with pytest.raises(NotApplicableError, match="no dark air around a head"):
        plausibility.refuse_headless(generator.integers(40, 200, (64,) * 3).astype(np.uint8))
