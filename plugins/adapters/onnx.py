"""A model file as a plugin: `[onnx]` of its plugin.toml says what it is given and what its outputs mean."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from plugins import manifest, notes
from plugins.contract import Parameters, Result, ResultStatus, Study
from plugins.images import ContractError
from plugins.manifest import Manifest, Output
from plugins.mapped_findings import FindingDraft, listed, nothing_found, summary_of
from plugins.maps import Heatmap, Segmentation
from plugins.model import maps, numbers, places, preparing, signature
from plugins.model.mapping import (
    BoxOutput,
    ClassificationOutput,
    HeatmapOutput,
    LandmarkOutput,
    ModelOutput,
    OnnxModel,
    RegressionOutput,
    SegmentationOutput,
)
from plugins.model.maps import SegmentsOfModel
from plugins.model.preparing import PreparedImages
from plugins.model.running import Answers, ModelRunner
from plugins.onnx_session import ModelError, open_session


def load(folder: Path) -> ModelPlugin:
    """The plugin of a folder, with its model loaded and compared with the manifest; ModelError, ManifestError."""
    return ModelPlugin(manifest.load(folder))


class ModelPlugin:
    """A model that is loaded once, and asked for each study."""

    def __init__(self, described: Manifest) -> None:
        assert described.onnx is not None, "of kind onnx"
        self._model, self._has_segmentation = described.onnx, Output.SEGMENTATION in described.outputs
        session = open_session(described.folder / self._model.file, providers=self._model.providers)
        problems = signature.problems(self._model, session)
        if problems:
            raise ModelError(f"{self._model.file} is not as plugin.toml says: {'; '.join(problems)}")
        self._runner = ModelRunner(self._model, session)

    def analyse(self, study: Study, _parameters: Parameters) -> Result:
        """What the model says of the study's images; NotApplicableError where they are not what it is for."""
        images = preparing.prepared(self._model.given, study)
        answer = _ModelAnswer(images, self._runner.answers(images), has_segmentation=self._has_segmentation)
        answer.read(self._model)
        return answer.result()


class _ModelAnswer:
    """A result that is being put together from the outputs of a model."""

    def __init__(self, images: PreparedImages, answers: Sequence[Answers], *, has_segmentation: bool) -> None:
        self._images, self._answers, self._has_segmentation = images, answers, has_segmentation
        self._drafts: list[FindingDraft] = []
        self._silent: list[str] = []
        self._limits: list[str] = []
        self._heatmaps: list[Heatmap] = []
        self._segmentation: Segmentation | None = None

    def read(self, model: OnnxModel) -> None:
        """Give all outputs their meaning; segments first, since scores may be about them."""
        for output in sorted(model.outputs, key=lambda each: not isinstance(each, SegmentationOutput)):
            self._read(output)

    def _read(self, output: ModelOutput) -> None:
        images, first = self._images, self._answers[0]
        match output:
            case ClassificationOutput():
                numbers.add_scores(output, first[output.name], self._drafts, is_whole=images.grid.is_whole)
            case RegressionOutput():
                numbers.add_number(output, first[output.name], self._drafts)
            case BoxOutput():
                self._add(*places.box_drafts(output, self._answers, images))
            case LandmarkOutput():
                self._add(*places.landmark_drafts(output, first[output.name], images))
            case SegmentationOutput():
                segments = SegmentsOfModel(output, [each[output.name] for each in self._answers], images)
                self._add(*segments.drafts(with_segments=self._has_segmentation))
                self._limits += segments.notes
                self._segmentation = segments.segmentation() if self._has_segmentation else None
            case HeatmapOutput():
                self._heatmaps.append(maps.heatmap(output, [each[output.name] for each in self._answers], images))

    def _add(self, drafts: Sequence[FindingDraft], silent: Sequence[str]) -> None:
        self._drafts += drafts
        self._silent += silent

    def result(self) -> Result:
        """All of it; ContractError where something cannot be reported as it is."""
        if not self._drafts:
            if not self._silent:
                raise ContractError("onnx.outputs: nothing came out")
            return Result(ResultStatus.NOT_APPLICABLE, nothing_found(self._silent, self._limits))
        limits = [*self._limits]
        limits += [notes.NOT_OUTLINED.format(names=listed(self._silent))] if self._silent else []
        if not self._images.grid.is_whole:
            limits.append(notes.PARTLY_SEEN)
        is_negative = all(draft.present is False for draft in self._drafts)
        return Result(
            status=ResultStatus.NO_FINDINGS if is_negative else ResultStatus.FINDINGS,
            summary=summary_of(self._drafts),
            findings=tuple(draft.made() for draft in self._drafts),
            segmentation=self._segmentation,
            heatmaps=tuple(self._heatmaps),
            quality=tuple(limits),
        )
