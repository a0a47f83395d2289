"""What an AI plugin is given and what it returns: the whole contract, in stdlib and numpy.

In the words of the IHE Radiology *AI Results* (AIR) profile. A plugin is a class with one method,
`analyse(study, parameters) -> Result`. It says what it saw; how that becomes DICOM is the node's
affair (`node/results`), and the identity of the algorithm is in its manifest, never in a result.

Each class checks itself when it is made, and raises `ContractError` naming the field: an author
sees the mistake in the line that made it, not in a PACS. What has one certain meaning is taken (`plugins.fields`).

Authors import from this module, or from `plugins`. What it gathers is in modules of one idea each: `plugins.coding`,
`regions`, `measurements`, `maps`, `pictures`, `returned`, `result`, `study`, `volume`, `algorithm` and `images`;
`plugins.codes` has the codes themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from plugins.algorithm import AlgorithmIdentity
from plugins.coding import Code, Site, Unit
from plugins.documents import PdfDocument
from plugins.images import ContractError, ImageReference, NotApplicableError, RetryableError
from plugins.maps import Heatmap, Segment, Segmentation
from plugins.measurements import Measurement, NoValue, ReferenceRange, Score
from plugins.pictures import KeyImage, Picture
from plugins.regions import Box, Ellipse, Point, Polygon, Polyline, Region
from plugins.result import SUMMARY_LIMIT, Finding, Result
from plugins.returned import ReturnedObject
from plugins.status import ResultStatus
from plugins.study import Series, Study
from plugins.volume import Volume

__all__ = [
    "SUMMARY_LIMIT",
    "AlgorithmIdentity",
    "Box",
    "Code",
    "ContractError",
    "Ellipse",
    "Finding",
    "Heatmap",
    "ImageReference",
    "KeyImage",
    "Measurement",
    "NoValue",
    "NotApplicableError",
    "Parameters",
    "PdfDocument",
    "Picture",
    "Plugin",
    "Point",
    "Polygon",
    "Polyline",
    "ReferenceRange",
    "Region",
    "Result",
    "ResultStatus",
    "RetryableError",
    "ReturnedObject",
    "Score",
    "Segment",
    "Segmentation",
    "Series",
    "Site",
    "Study",
    "Unit",
    "Volume",
]

Parameters = Mapping[str, Any]


@runtime_checkable
class Plugin(Protocol):
    """What an author writes: one class, one method. A warm model is loaded in `__init__`."""

    def analyse(self, study: Study, parameters: Parameters) -> Result:
        """Look at the study; raise `NotApplicableError` with a reason for images this is not for.

        `RetryableError` where the same images may well be analysed later.
        """
        ...
