"""From a mask of pixels to the outlines of its regions, exact: whoever fills them gets the same pixels back.

Outlines run along the edges of pixels, not through their centres. A reader that asks which pixel centres are inside
then gets the mask again, with its area and not a voxel more or less. Through the centres the area would be too small,
and whether the outermost pixels are inside would be a matter of rounding.

A hole is joined to the outline around it by a keyhole, a channel without width (PS3.3 C.8.8.6.3): a reader that unites
the contours of a slice leaves it out, too. Parts that touch at a corner only are regions of their own.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

Corner = tuple[int, int]
"""Column and row of a corner of pixels; (0, 0) is the top-left corner of the first pixel."""


def outlines(mask: NDArray[np.bool_], most: int) -> list[NDArray[np.int64]]:
    """Closed polygons (n, 2) of corners (column, row), the first not repeated, each of at most `most` corners.

    What would need more is cut into halves, which together are the same pixels.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return []
    top, left = int(rows[0]), int(columns[0])
    part = mask[top : int(rows[-1]) + 1, left : int(columns[-1]) + 1]
    found = [_simplified(loop) for loop in _joined(_loops(part))]
    if any(len(polygon) > most for polygon in found) and max(part.shape) > 1:
        height, width = part.shape
        if height >= width:
            halves = [(part[: height // 2], 0, 0), (part[height // 2 :], 0, height // 2)]
        else:
            halves = [(part[:, : width // 2], 0, 0), (part[:, width // 2 :], width // 2, 0)]
        found = [polygon + np.array([right, down]) for half, right, down in halves for polygon in outlines(half, most)]
    return [polygon + np.array([left, top]) for polygon in found]


def _loops(mask: NDArray[np.bool_]) -> list[list[Corner]]:
    """The edges between what is in the mask and what is not, as loops with the mask on their right, corner by corner.

    Where two loops meet in a corner each turns right, so that pixels which touch there alone stay apart.
    """
    padded = np.pad(mask, 1)
    inside = padded[1:-1, 1:-1]
    edges: dict[Corner, list[Corner]] = defaultdict(list)
    for beside, begin, step in (
        (padded[:-2, 1:-1], (0, 0), (1, 0)),  # above: to the right
        (padded[1:-1, 2:], (1, 0), (0, 1)),  # on the right: down
        (padded[2:, 1:-1], (1, 1), (-1, 0)),  # below: to the left
        (padded[1:-1, :-2], (0, 1), (0, -1)),  # on the left: up
    ):
        for row, column in np.argwhere(inside & ~beside).tolist():
            edges[column + begin[0], row + begin[1]].append(step)
    loops = []
    while edges:
        start = next(iter(edges))
        loop, here, step = [], start, edges[start][0]
        while True:
            loop.append(here)
            _take(edges, here, step)
            here = (here[0] + step[0], here[1] + step[1])
            if here not in edges:
                break
            right = (-step[1], step[0])
            step = right if right in edges[here] else edges[here][0]
        assert here == start, "every corner has as many edges that end there as begin there"
        loops.append(loop)
    return loops


def _take(edges: dict[Corner, list[Corner]], here: Corner, step: Corner) -> None:
    edges[here].remove(step)
    if not edges[here]:
        del edges[here]


def _joined(loops: list[list[Corner]]) -> list[list[Corner]]:
    """The outer loops, with the holes in each joined to it.

    From the leftmost corner of a hole the channel goes left along the edges of pixels until it meets an outline: that
    around the hole, or that of another hole, which is further left and joined already. Both sides of the channel are in
    the mask, so it meets one loop, once.
    """
    outer = [loop for loop in loops if _area(loop) > 0]
    holes = sorted((min(loop), loop) for loop in loops if _area(loop) < 0)
    owner = {corner: number for number, loop in enumerate(outer) for corner in loop}
    for (column, row), hole in holes:
        meets = column - 1
        while (meets, row) not in owner:
            meets -= 1
        number = owner[meets, row]
        at, first = outer[number].index((meets, row)), hole.index((column, row))
        around = [*hole[first:], *hole[: first + 1]]
        outer[number][at + 1 : at + 1] = [*around, (meets, row)]
        owner |= dict.fromkeys(hole, number)
    return outer


def _area(loop: list[Corner]) -> int:
    """Twice the area: positive where the loop goes around what is in the mask, negative around a hole."""
    following = [*loop[1:], loop[0]]
    return sum(a[0] * b[1] - b[0] * a[1] for a, b in zip(loop, following, strict=True))


def _simplified(loop: list[Corner]) -> NDArray[np.int64]:
    """Without the corners in the midst of straight lines; those at which a keyhole turns back stay."""
    points = np.array(loop, dtype=np.int64)
    before = np.sign(points - np.roll(points, 1, axis=0))
    after = np.sign(np.roll(points, -1, axis=0) - points)
    kept: NDArray[np.int64] = points[(before != after).any(axis=1)]
    return kept
