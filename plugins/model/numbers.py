"""Numbers that a model gives: scores of findings, and measurements."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from plugins.images import ContractError
from plugins.mapped_findings import FindingDraft, draft_of
from plugins.measurements import Measurement, NoValue, Score
from plugins.model.mapping import ClassificationOutput, RegressionOutput
from plugins.model.maps import activated
from plugins.nifti_mapping import EmptyMask


def add_scores(
    output: ClassificationOutput, values: NDArray[np.float32], drafts: list[FindingDraft], *, is_whole: bool
) -> None:
    """A score for each label; nothing is absent of images that the model did not see as a whole."""
    scores = activated(values.reshape(-1), output.activation)
    for label in output.labels:
        score = _at(scores, label.index, output.name)
        draft = draft_of(drafts, label.finding, label.site)
        draft.score = Score(score, label.threshold)
        if label.threshold is None or draft.present is not None:
            continue
        if score >= label.threshold:
            draft.present = True
        elif label.below is EmptyMask.ABSENT and is_whole:
            draft.present = False


def add_number(output: RegressionOutput, values: NDArray[np.float32], drafts: list[FindingDraft]) -> None:
    """A measurement, without a value where it lies outside of what the manifest allows."""
    value = _at(values.reshape(-1), output.index, output.name) * output.scale + output.offset
    is_outside = (output.minimum is not None and value < output.minimum) or (
        output.maximum is not None and value > output.maximum
    )
    no_value = NoValue.CANNOT_BE_COMPUTED if is_outside else None
    draft_of(drafts, output.finding, output.site).measurements.append(
        Measurement(output.concept, None if is_outside else value, output.unit, no_value, decimals=output.decimals)
    )


def _at(values: NDArray[np.float32], index: int, name: str) -> float:
    if index >= len(values):
        raise ContractError(f"onnx.outputs: {name}: the model gave {len(values)} numbers, none with index {index}")
    return float(values[index])
