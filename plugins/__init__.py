"""What an AI author needs, and the plugins that ship with the node.

    from plugins import Finding, Result, codes

Every name of the contract is here (`plugins.contract` says what they are), and is loaded when it is first asked for:
the node's commands and the workers import modules of this package and need none of it.
"""

from __future__ import annotations

TYPE_CHECKING = False  # what checkers take for true, without the 5 ms that loading `typing` takes
if TYPE_CHECKING:
    from typing import Any

    from plugins.contract import (
        AlgorithmIdentity,
        Box,
        Code,
        ContractError,
        Ellipse,
        Finding,
        Heatmap,
        ImageReference,
        KeyImage,
        Measurement,
        NotApplicableError,
        NoValue,
        Parameters,
        PdfDocument,
        Picture,
        Plugin,
        Point,
        Polygon,
        Polyline,
        ReferenceRange,
        Region,
        Result,
        ResultStatus,
        RetryableError,
        ReturnedObject,
        Score,
        Segment,
        Segmentation,
        Series,
        Site,
        Study,
        Unit,
        Volume,
    )

__all__ = [
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
    "codes",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'plugins' has no attribute {name!r}", name=name, obj=__import__(__name__))
    from importlib import import_module

    if name == "codes":
        return import_module("plugins.codes")
    value = getattr(import_module("plugins.contract"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
