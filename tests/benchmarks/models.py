"""Model files: a job in a process of its own, further ones in the same process, and the memory of both.

Four convolutions with 16 channels: of a radiograph of 2,000 × 2,000 pixels that becomes 512 × 512, with a heat map, and
of a head CT on a grid of 2 mm, in windows of 64³. Seconds are those of the whole attempt, from its start to its answer,
on one thread; the first one starts Python, loads onnxruntime and the model.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from node.kit import chosen
from node.kit.quiet_log import quiet
from node.kit.small_node import PluginTask, kit_configuration, small_node
from node.ledger import attempts
from plugins.phantoms import head
from plugins.phantoms.head import HeadPhantom
from tests.benchmarks.figures import spread, table
from tests.support.models import tiny_models
from tests.support.models.model_room import NODULE, TISSUE, plugin, write_radiograph

JOBS, SHORT_JOBS = 10, 2
_PROJECTION = f"""
[onnx.input]
images = "projection"
layout = "NCHW"
size = [512, 512]
fit = "letterbox"

[[onnx.outputs]]
kind = "classification"
name = "score"
labels = [{{index = 1, finding = {NODULE}}}]

[[onnx.outputs]]
kind = "heatmap"
name = "scores"
index = 1
activation = "softmax"
quantity = {{value = "130404", scheme = "DCM", meaning = "Saliency"}}
"""
_VOLUME = f"""
[onnx.input]
images = "volume"
layout = "NCDHW"
spacing = [2.0, 2.0, 2.0]

[[onnx.channels]]
steps = [{{kind = "window", centre = 40.0, width = 80.0}}]

[onnx.sliding]
window = [64, 64, 64]
overlap = 0.25

[[onnx.outputs]]
kind = "segmentation"
name = "scores"
segments = [{{index = 1, name = "Class", type = {TISSUE}}}]
"""


@dataclass(frozen=True, slots=True)
class ModelFigures:
    """What was measured of one model."""

    name: str
    cold: float
    """Seconds of the first job."""
    warm: Sequence[float]
    """Seconds of each further one, in the same process."""
    memory: int
    """Bytes: the most that an attempt had."""


def measure(folder: Path, jobs: int) -> list[ModelFigures]:
    """Both models, so many warm jobs each."""
    flat, deep = folder / "flat", folder / "deep"
    for each in (flat, deep):
        each.mkdir(parents=True)
    tiny_models.mapped(flat / "model.onnx")
    tiny_models.layers(deep / "model.onnx", 3)
    plugin(flat, _PROJECTION, ("findings", "heatmaps"))
    plugin(deep, _VOLUME, ("findings", "segmentation"))
    image = np.add.outer(np.linspace(0, 0.5, 2000), np.linspace(0, 0.5, 2000)).astype(np.float32)
    write_radiograph(folder / "radiograph", image)
    head.write_ct(HeadPhantom(size=192 if jobs > SHORT_JOBS else 96), folder / "head")
    with quiet():
        found = [
            _measured("2-D, classification and heat map", flat, folder / "radiograph", jobs),
            _measured("3-D, segmentation in windows", deep, folder / "head", jobs),
        ]
    shutil.rmtree(folder)
    return found


def _measured(name: str, folder: Path, images: Path, jobs: int) -> ModelFigures:
    with small_node(kit_configuration()) as node:
        choice = chosen.choose(str(folder), None)
        made = choice.to_run(node.node.store.data)
        task = PluginTask(made, node.receive(sorted(images.iterdir())), {})
        seconds, memory = [], 0
        for _ in range(jobs + 1):
            last = attempts.last_of(node.node.ledger.database, node.run(task).id)
            assert last is not None
            assert last.ended_at is not None
            assert last.failure is None, last.detail
            seconds.append((last.ended_at - last.started_at).total_seconds())
            memory = max(memory, last.peak_memory or 0)
    return ModelFigures(name, seconds[0], seconds[1:], memory)


def show(found: Sequence[ModelFigures]) -> str:
    """A line for each."""
    rows = [[each.name, f"{each.cold:.2f}", spread(each.warm, 2), f"{each.memory / 2**20:.0f}"] for each in found]
    return table(["model file", "cold, s", "warm, s, median (min–max)", "memory, MiB"], rows)


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory(prefix="pacsnode-bench-") as scratch:
        print(show(measure(Path(scratch) / "models", SHORT_JOBS)))
