"""`pacsnode plan`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from node.cli import output, site
from node.cli.output import cell, table
from node.config.values import parse_size
from node.desk import site as sites
from node.desk.capacity import arithmetic, figures, words
from node.desk.capacity.figures import PlanQuestion
from node.desk.capacity.words import PlanLine
from node.errors import UsageError


def plan(
    studies_per_day: Annotated[float, typer.Option(min=1, help="Studies of a working day.")],
    images_per_study: Annotated[float | None, typer.Option(min=1, help="Images of a study.")] = None,
    mb_per_image: Annotated[float | None, typer.Option(min=0.001, help="Size of an image, in MB.")] = None,
    hours: Annotated[
        float | None, typer.Option(min=1, max=24, help="Hours in which the studies of a day come.")
    ] = None,
    plugin: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=SECONDS[@PERCENT]", help="A plugin, and on how many studies it runs."),
    ] = None,
    disk: Annotated[str | None, typer.Option(metavar="SIZE", help="Space for images and results, as in 2TB.")] = None,
    measure: Annotated[bool, typer.Option("--measure", help="Measure this machine first, for some seconds.")] = False,
    config: site.ConfigPath = site.DEFAULT_CONFIG,
    as_json: site.AsJson = False,
) -> None:
    """Say how much disk, how many receivers and slots for plugins a number of studies a day needs, and what is short.

    What is not said comes from the site's own ledger, where there is one, and else is assumed. Each figure says where
    it comes from. It changes nothing.
    """
    question = PlanQuestion(studies_per_day, images_per_study, mb_per_image, hours, plugin or (), _size(disk))
    known = sites.known(config).configuration if _there(config) else None
    work, machine = figures.gather(question, known, measure=measure)
    found = arithmetic.plan(work, machine)
    if as_json:
        output.as_json(words.plain(found, work, machine))
        return
    parts = [
        _table("Given", words.given(work, machine)),
        cell(""),
        _table("Needed", words.needed(found, work, machine)),
        cell(""),
        cell(words.conclusion(found)),
    ]
    output.console().print(Group(*parts))


def _there(config: Path) -> bool:
    """Whether there is a site; before there is one a plan is made anyway."""
    return config != site.DEFAULT_CONFIG or config.exists()


def _size(text: str | None) -> int | None:
    try:
        return parse_size(text) if text is not None else None
    except ValueError as error:
        raise UsageError(f"--disk: {error}") from error


def _table(title: str, lines: Iterable[PlanLine]) -> RenderableType:
    return table(title, ["What", ">Figure", "From"], [_cells(each) for each in lines])


def _cells(line: PlanLine) -> list[Text]:
    return [cell(line.what), cell(line.figure), cell(line.source)]
