"""Where each part of the picture of the pipeline is: four columns of boxes, and lines between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from node.desk.pipeline import Pipeline

_WIDTH, _HEIGHT, _GAP = 220, 40, 14
_COLUMN = 320
_MARGIN, _HEAD = 10, 34
_CUT = 26
"""Characters of a name that fit a box."""
_COLUMNS = ("Senders", "Rules", "Plugins", "Destinations")


@dataclass(frozen=True, slots=True)
class PipelineBox:
    """One thing, in user units of the picture."""

    kind: str
    name: str
    """In full."""
    x: int
    y: int

    @property
    def label(self) -> str:
        """As much of the name as fits."""
        return self.name if len(self.name) <= _CUT else f"{self.name[: _CUT - 1]}…"


@dataclass(frozen=True, slots=True)
class PipelinePicture:
    """The picture."""

    width: int
    height: int
    box: tuple[int, int]
    heads: Sequence[tuple[str, int]]
    boxes: Sequence[PipelineBox]
    lines: Sequence[tuple[str, str]]
    """Kind and path (SVG 2, 9.3)."""


def picture(pipeline: Pipeline) -> PipelinePicture:
    """Draw it."""
    columns = (
        ("source", pipeline.sources),
        ("rule", [rule.name for rule in pipeline.rules]),
        ("plugin", pipeline.plugins),
        ("destination", [*pipeline.destinations, *pipeline.unused]),
    )
    boxes = {
        (kind, name): PipelineBox(kind, name, _MARGIN + number * _COLUMN, _HEAD + row * (_HEIGHT + _GAP))
        for number, (kind, names) in enumerate(columns)
        for row, name in enumerate(names)
    }
    lines: dict[tuple[str, str], None] = {}
    for rule in pipeline.rules:
        own = boxes["rule", rule.name]
        state = "" if rule.enabled else " off"
        starts = [boxes["plugin", name] for name in rule.plugins]
        lines |= {(f"asks{state}", _line(boxes["source", name], own)): None for name in rule.sources}
        lines |= {(f"runs{state}", _line(own, box)): None for box in starts}
        lines |= {
            (f"sends{state}", _line(box, boxes["destination", name])): None
            for box in starts
            for name in rule.destinations
        }
        lines |= {(f"forwards{state}", _line(own, boxes["destination", name])): None for name in rule.forwards}
    rows = max((len(names) for _, names in columns), default=0)
    heads = [(head, _MARGIN + number * _COLUMN) for number, head in enumerate(_COLUMNS)]
    width = 3 * _COLUMN + _WIDTH + 2 * _MARGIN
    return PipelinePicture(
        width, _HEAD + rows * (_HEIGHT + _GAP) + _MARGIN, (_WIDTH, _HEIGHT), heads, [*boxes.values()], [*lines]
    )


def _line(one: PipelineBox, other: PipelineBox) -> str:
    x1, y1 = one.x + _WIDTH, one.y + _HEIGHT // 2
    x2, y2 = other.x, other.y + _HEIGHT // 2
    if y1 == y2:
        return f"M{x1} {y1}H{x2}"
    middle = (x1 + x2) // 2
    return f"M{x1} {y1}C{middle} {y1} {middle} {y2} {x2} {y2}"
