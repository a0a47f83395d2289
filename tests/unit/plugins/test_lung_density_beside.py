"""What is beside the lungs is none of them: a couch that encloses air, a stomach that touches, a scan that goes on."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest

from plugins.contract import NotApplicableError
from plugins.lung_density import checks, segmentation
from plugins.lung_density.orientation import AnatomicalView
from plugins.phantoms.chest import LEFT, RIGHT, Chest
from plugins.phantoms.long_chest import LongChest

LONG = {
    "couch": LongChest(stomach=False, noise_hu=15),
    "stomach": LongChest(couch=False, noise_hu=15),
    "couch and stomach": LongChest(size=128, slice_mm=3, noise_hu=25),
    "both, lungs that touch, vessels": LongChest(size=160, slice_mm=3, noise_hu=20, touching=True, vessels=True),
    "both, emphysema": LongChest(noise_hu=10, emphysema=(0.35, 0.2)),
    "nothing but a long scan": LongChest(stomach=False, couch=False),
}


def seen(chest: Chest, array) -> AnatomicalView:
    spacing = (chest.slice_mm, chest.pixel_mm, chest.pixel_mm)
    return AnatomicalView(array.astype(np.float32), spacing, (0, 1, 2), ())


def view(chest: Chest) -> AnatomicalView:
    return seen(chest, chest.array)


@pytest.mark.parametrize("name", LONG)
def test_finding_n6_what_is_beside_the_lungs_is_not_measured(name):
    """Each lung within 2 % of its true volume, its voxels where they are, and no false reason to decline."""
    chest = LONG[name]
    labels = segmentation.segment(view(chest)).labels
    for side in (RIGHT, LEFT):
        assert (labels == side).sum() == pytest.approx((chest.labels == side).sum(), rel=0.02)
    assert (labels == chest.labels)[chest.labels > 0].mean() > 0.98
    assert ((labels > 0) & (chest.labels == 0)).sum() < 0.01 * (chest.labels > 0).sum()


@pytest.mark.parametrize(
    ("extent", "reason"), [((-300.0, 40.0), "apices are missing"), ((-60.0, 135.0), "bases are missing")]
)
def test_lungs_that_are_cut_off_are_still_refused_for_that(extent, reason):
    """On the couch, too, the reason is the true one."""
    with pytest.raises(NotApplicableError, match=reason):
        segmentation.segment(view(LongChest(extent=extent)))


@pytest.mark.parametrize("chest", [Chest(size=128, slice_mm=3), LongChest(size=128, slice_mm=3)], ids=["chest", "long"])
@pytest.mark.parametrize(("centre", "radius"), [((-82, 0, 80), 50), ((-82, 40, -90), 35), ((-82, 0, 20), 25)])
def test_a_bulla_is_lung(chest, centre, radius):
    """A bubble of 65 to 520 mL of gas at the apex, at the base or in the middle stays lung: it is emphysema."""
    z, y, x = np.meshgrid(*chest.axes, indexing="ij", sparse=True)
    hole = (x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2 < radius**2
    bulla = hole & (chest.labels == RIGHT)
    labels = segmentation.segment(seen(chest, np.where(bulla, -1000, chest.array))).labels
    assert (labels == RIGHT)[bulla].mean() > 0.99
    assert (labels == RIGHT).sum() == pytest.approx((chest.labels == RIGHT).sum(), rel=0.01)


@pytest.mark.parametrize("kind", ["HU", "Houndsfield Unit", "Hounsfield Units", "[hnsf'U]", "US", ""])
def test_finding_n6_hounsfield_units_are_hu_however_they_are_spelt(kind):
    """A misspelt Rescale Type is no other quantity."""
    header = pydicom.Dataset()
    header.Modality, header.RescaleType = "CT", kind
    checks.refuse_headers([header], 5)
