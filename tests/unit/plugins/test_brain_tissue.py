"""brain_tissue: the network is that of its authors, and its axes are right."""

from __future__ import annotations

import itertools
import json
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from plugins import imaging
from plugins.brain_tissue import make_model, plausibility
from plugins.brain_tissue.brain_tissue import MODEL
from plugins.brain_tissue.conformed import SIDE, conform, limits
from plugins.brain_tissue.network import BrainNetwork, bright_box, largest_part, quantiles, scaled
from plugins.brain_tissue.segmentation import BrainSegmentation
from plugins.contract import Volume
from tests.support.shared_data import shared_data

REFERENCE = "models/brainchop/reference"
Order = tuple[tuple[int, ...], tuple[int, ...]]
WRONG_ORDERS: tuple[Order, ...] = (
    *(((0, 1, 2), flips) for flips in ((0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2))),
    *((order, ()) for order in itertools.permutations(range(3)) if order != (0, 1, 2)),
)
"""(order of the axes, axes that are turned over): mirrored, turned, or with axes exchanged."""


@pytest.fixture(scope="module")
def network() -> BrainNetwork:
    return BrainNetwork(MODEL)


# --- the model -------------------------------------------------------------------------------------


def test_the_model_is_made_from_the_weights_of_its_authors_byte_for_byte() -> None:
    """So that nobody has to trust a file: the script and the authors' weights give it again."""
    assert make_model.model_bytes() == MODEL.read_bytes()


def _convolved(features: NDArray[np.float64], layer: dict[str, Any], weights: dict[str, NDArray[np.float32]]):
    """A 'same' convolution as 27 shifted copies times the slices of the kernel: no library, and no axis to mistake."""
    name, dilation = layer["name"], layer["dilation_rate"]
    kernel, reach = weights[f"{name}/kernel"], weights[f"{name}/kernel"].shape[0] // 2 * dilation[0]
    padded = np.pad(features, [(reach, reach)] * 3 + [(0, 0)])
    result = np.broadcast_to(weights[f"{name}/bias"].astype(np.float64), (*features.shape[:3], kernel.shape[-1]))
    for place in np.ndindex(kernel.shape[:3]):
        begin = [index * dilation[0] for index in place]
        part = tuple(slice(first, first + size) for first, size in zip(begin, features.shape, strict=False))
        result = result + padded[part] @ kernel[place]
    return result


def test_the_network_computes_what_its_weights_say(network: BrainNetwork) -> None:
    """Against the layers written out in NumPy, with an input that no axis order leaves as it is; logits to 1e-3."""
    topology = json.loads(make_model.TOPOLOGY.read_text())
    values, weights = np.fromfile(make_model.WEIGHTS, "<f4"), {}
    for weight in topology["weightsManifest"][0]["weights"]:
        size = int(np.prod(weight["shape"]))
        weights[weight["name"]], values = values[:size].reshape(weight["shape"]), values[size:]
    image = np.random.default_rng(3).uniform(0, 1.3, (9, 10, 11)).astype(np.float32)
    features = image[..., np.newaxis].astype(np.float64)
    for layer in topology["modelTopology"]["model_config"]["config"]["layers"][1:]:
        if layer["class_name"] == "Activation":
            features = np.where(features > 0, features, np.expm1(np.minimum(features, 0)))
        else:
            features = _convolved(features, layer["config"], weights)
    found = np.moveaxis(network.logits(image), 0, -1)
    assert np.abs(found - features).max() < 1e-3


def _reordered(array: NDArray[np.float32], order: Order) -> NDArray[np.float32]:
    return np.ascontiguousarray(np.flip(array.transpose(order[0]), order[1]))


def _ordered_back(array: NDArray[np.intp], order: Order) -> NDArray[np.intp]:
    return np.flip(array, order[1]).transpose(np.argsort(order[0]))


def test_the_crop_of_a_real_head_has_the_logits_of_the_reference(network: BrainNetwork) -> None:
    """To 1e-3; and each wrong order of the axes gives other labels in more than 0.1 % of the voxels."""
    crop = np.load(shared_data(REFERENCE) / "crop32.npz")
    image = crop["conformed_uint8"].astype(np.float32) / np.float32(98)
    expected = np.moveaxis(crop["logits_model20chan3cls"], -1, 0)
    assert np.abs(network.logits(image) - expected).max() < 1e-3
    for order in WRONG_ORDERS:
        labels = _ordered_back(network.logits(_reordered(image, order)).argmax(axis=0), order)
        assert (labels == expected.argmax(axis=0)).mean() < 0.999, order


# --- the grid --------------------------------------------------------------------------------------


def _stored(order: Order) -> Volume:
    """A bright spot at the left, a darker one in front, a still darker one above, stored with axes in this order."""
    array = np.zeros((40, 40, 40), np.float32)  # z to the head, y to the back, x to the left
    for value, place in ((900, (20, 20, 35)), (600, (20, 4, 20)), (400, (35, 20, 20))):
        array[tuple(slice(index - 2, index + 3) for index in place)] = value
    axes = {0: (0.0, 0.0, 2.0), 1: (0.0, 2.0, 0.0), 2: (2.0, 0.0, 0.0)}
    affine = np.eye(4)
    affine[:3, 3] = -40
    for position, axis in enumerate(order[0]):
        column = 2 - position
        affine[:3, column] = axes[axis]
        if position in order[1]:
            affine[:3, 3] += 39 * affine[:3, column]
            affine[:3, column] *= -1
    stored = np.ascontiguousarray(np.flip(array.transpose(order[0]), order[1]))
    return Volume(stored, (2.0, 2.0, 2.0), affine, ())


@pytest.mark.parametrize("order", [((0, 1, 2), ()), ((2, 1, 0), (0,)), ((1, 2, 0), (1, 2)), ((0, 1, 2), (0, 2))])
def test_left_feet_and_front_are_where_the_network_expects_them(order: Order) -> None:
    """However the scan was stored: i to the left, j to the feet, k to the front; labels come back to their voxels."""
    volume = _stored(order)
    head = conform(volume)
    left, front, above = (
        np.array(np.unravel_index(int(np.where(head.array <= most, head.array, 0).argmax()), head.array.shape))
        - SIDE // 2
        for most in (255, 170, 114)
    )
    assert left[0] > 25
    assert front[2] > 25
    assert above[1] < -25
    labels = (head.array > 60).astype(np.uint8)
    assert (head.on_source(labels, volume) == (volume.array > 250)).all()


def test_the_scale_is_that_of_the_authors() -> None:
    """Minimum, and the edge of the bin below 99.9 %; outside of the scan is 0; quantiles count the air, too."""
    values = np.arange(10_000, dtype=np.float32)
    low, high = limits(values)
    assert low == 0
    assert high == pytest.approx(0.997 * 9_999)
    head = np.zeros((10, 10, 10), np.uint8)
    head[5:] = 100
    head[9] = 200
    assert quantiles(head) == (0, 200)
    assert scaled(head)[5, 0, 0] == pytest.approx(0.5)
    assert conform(Volume(np.ones((4, 4, 4), np.float32), (1.0, 1.0, 1.0), np.eye(4), ())).array.max() == 0


@pytest.mark.at_night("the crop of a real head, and the network against its layers written out; both above")
def test_a_real_head_has_the_labels_of_the_reference(network: BrainNetwork) -> None:
    """FNNDSC_SAG-anon in full: 99.9 % of the voxels on the source's own grid, and its volumes to 0.2 %."""
    volume = imaging.volume(sorted(shared_data("FNNDSC_SAG-anon").glob("*.dcm")))
    kept = np.load(shared_data(REFERENCE) / "labels_model20chan3cls.npz")
    expected = json.loads((shared_data(REFERENCE) / "expected.json").read_text())
    assert [frame.sop_instance_uid for frame in volume.frames] == list(kept["sop_instance_uids"])
    head = conform(volume)
    planes = np.load(shared_data(REFERENCE) / "conformed_planes.npz")
    for name, plane in (("l128", head.array[128]), ("i128", head.array[:, 128]), ("a128", head.array[:, :, 128])):
        assert np.abs(plane.astype(int) - planes[name]).max() <= 1
    image = scaled(head.array)
    labels, islands = largest_part(network.labels(image, bright_box(image)))
    on_source = head.on_source(labels, volume)
    assert (on_source == kept["labels"]).mean() >= 0.999
    for order in WRONG_ORDERS:
        if sorted(order[0]) == list(order[0]):
            wrong = head.on_source(np.ascontiguousarray(np.flip(labels, order[1])), volume)
            assert (wrong == kept["labels"]).mean() < 0.999, order
    found = BrainSegmentation(volume, head, labels, on_source)
    model = expected["models"]["model20chan3cls"]
    assert found.white_ml == pytest.approx(model["white_ml_source"], rel=0.002)
    assert found.grey_ml == pytest.approx(model["grey_ml_source"], rel=0.002)
    plausibility.refuse_headless(head.array)
    plausibility.refuse_cut_off(on_source, volume.spacing)
    plausibility.refuse_implausible(image, labels, islands)
