"""A head's volume → the labels of both tissues on its own grid, or the reason why there are none that can be true."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plugins.brain_tissue import plausibility
from plugins.brain_tissue.conformed import HeadImage, conform
from plugins.brain_tissue.network import GREY, WHITE, BrainNetwork, box_around, bright_box, largest_part, scaled
from plugins.contract import Volume


@dataclass(frozen=True)
class BrainSegmentation:
    """A head and its labels, on the network's grid and on its own."""

    volume: Volume
    head: HeadImage
    conformed_labels: NDArray[np.uint8]
    """On the grid of `head`."""
    labels: NDArray[np.uint8]
    """On the grid of `volume`."""

    @property
    def white_ml(self) -> float:
        """Volume of white matter, mL."""
        return int(np.count_nonzero(self.labels == WHITE)) * self.volume.voxel_volume

    @property
    def grey_ml(self) -> float:
        """Volume of grey matter, mL."""
        return int(np.count_nonzero(self.labels == GREY)) * self.volume.voxel_volume

    @property
    def brightness(self) -> float:
        """Median of `head` over white matter."""
        return float(np.median(self.head.array[self.conformed_labels == WHITE]))


def segment(volume: Volume, network: BrainNetwork) -> BrainSegmentation:
    """Raises `NotApplicableError` where the labels, or what they are made from, cannot be those of a brain."""
    head = conform(volume)
    plausibility.refuse_headless(head.array)
    image = scaled(head.array)
    labels, islands = largest_part(network.labels(image, bright_box(image)))
    found = BrainSegmentation(volume, head, labels, head.on_source(labels, volume))
    plausibility.refuse_cut_off(found.labels, volume.spacing)
    plausibility.refuse_implausible(image, labels, islands)
    box = box_around(labels > 0)  # less than half of the voxels; README.md says how little that changes
    for factor in plausibility.FACTORS:
        plausibility.refuse_unstable(labels[box], network.labels(image, box, factor)[box], factor)
    return found
