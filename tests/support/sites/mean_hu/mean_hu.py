"""The smallest plugin whose number a test can check: the mean HU of a CT series."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np

from plugins.contract import (
    Code,
    Finding,
    Measurement,
    NotApplicableError,
    Parameters,
    Picture,
    Result,
    ResultStatus,
    Study,
    Unit,
)

MEAN = Code("MEAN_HU", "99PACSNODE", "Mean attenuation of the series")


class MeanHU:
    """Answers in well under a second, or when `wait_for` is there."""

    def analyse(self, study: Study, parameters: Parameters) -> Result:
        """Mean over all voxels, and a picture of the middle slice."""
        while parameters["wait_for"] and not Path(__file__).with_name(str(parameters["wait_for"])).exists():
            time.sleep(0.05)  # a test lets it go
        match parameters["answer"]:
            case "not_applicable":
                raise NotApplicableError("The test wants it so: these images are not what it is for.")
            case "raise":
                raise RuntimeError("the test wants it so")
            case "crash":
                os.abort()
        volume = study.series[0].volume()
        mean = float(volume.array.mean(dtype=np.float64))
        middle = volume.array[len(volume.array) // 2]
        grey = np.clip((middle + 1024) / 8, 0, 255).astype(np.uint8)
        return Result(
            status=ResultStatus.FINDINGS,
            summary=f"Mean attenuation {mean:.2f} HU over {len(volume.array)} slices.",
            findings=(
                Finding(code=MEAN, measurements=(Measurement(MEAN, mean, Unit("[hnsf'U]", "Hounsfield unit")),)),
            ),
            pictures=(Picture(np.repeat(grey[..., None], 3, axis=2), "Middle slice"),),
        )
