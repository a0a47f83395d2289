"""`pacsnode read`: a report as a person reads it."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Annotated

import typer
from pydicom.errors import InvalidDicomError

from node.cli import output, site
from node.cli.output import cell
from node.errors import PermanentError, UsageError


def read(
    path: Annotated[Path, typer.Argument(metavar="SR", help="A DICOM file with a structured report (TID 1500).")],
    as_json: site.AsJson = False,
) -> None:
    """Print a structured report: findings, measurements with units, where they are, and which software made them."""
    from node.reading import as_result, reader  # highdicom takes a second to import

    warnings.filterwarnings("ignore")  # pydicom's quote values of the report, as they are
    try:
        report = reader.read_sr(path)
    except InvalidDicomError as error:
        raise PermanentError(f"{path}: this is not a DICOM file") from error
    except (FileNotFoundError, IsADirectoryError) as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    if as_json:
        output.as_json(as_result.as_result(report))
        return
    console = output.console()
    for line in report.lines():
        console.print(cell(line), soft_wrap=True)
