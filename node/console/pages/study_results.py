"""The results of one study as a radiologist gets them: report text, pages, segmentations over the slices; thumbnails.

Results are shown to those who may read them, and the look is recorded. Every address names rows of the ledger.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import TypeVar

from starlette.responses import Response

from node.config.in_force import InForce
from node.console.page import PageRequest, PageRoute
from node.console.pages.study import StudyOnPage, job_of, read, record_view
from node.console.reader import Ledger
from node.desk import pictures
from node.desk.pictures import Pictures, ResultFiles, ResultImages
from node.desk.rights import Right, require
from node.errors import NodeError, NotFoundError, UsageError

T = TypeVar("T")
_PAGE_BOX, _THUMBNAIL_BOX, _SLICE_BOX = (1200, 1600), (160, 160), (768, 768)
_DIGITS = 7
_MOST_REPORTS = 6
"""Whose text a page shows."""


@cache
def _pictures() -> Pictures:
    return Pictures()


@cache
def _hands() -> ThreadPoolExecutor:
    """Their own threads: whoever waits for a picture keeps nobody from logging in."""
    return ThreadPoolExecutor(2, thread_name_prefix="pictures")


async def _seen(work: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(_hands(), work)


def _check(page: PageRequest) -> None:
    """NotAllowedError unless the visitor may read results and see patients: images may show a name."""
    require(page.actor, Right.READ_RESULTS)
    require(page.actor, Right.SEE_PATIENT)


async def _results(page: PageRequest) -> Response:
    _check(page)

    def look(in_force: InForce, ledger: Ledger) -> tuple[StudyOnPage, ResultFiles]:
        found = read(page, in_force, ledger)
        with ledger.snapshot() as database:
            return found, pictures.of_job(database, found.uid, page.part("job"))

    found, files = await page.look(look)
    await record_view(page, found.uid)
    data = page.in_force.configuration.node.data
    reports = [await _report(data / each.file) for each in files.reports[-_MOST_REPORTS:]] if files.is_here else []
    has_slices = files.is_here and any(each.kind in ("seg", "rtstruct") for each in files.others)
    return page.render(
        "study_results.html",
        uid=found.uid,
        name=found.name,
        job=job_of(found.history, files.job.id),
        files=files,
        reports=reports,
        has_slices=has_slices,
    )


async def _report(path: Path) -> tuple[Sequence[str], str]:
    """Its lines, or why there are none."""
    try:
        return await _seen(lambda: _pictures().report(path)), ""
    except NodeError as error:
        return (), str(error)


async def _page_picture(page: PageRequest) -> Response:
    _check(page)
    data = page.in_force.configuration.node.data
    uid, job, made = page.part("uid"), page.part("job"), page.part("object")

    def look(_: InForce, ledger: Ledger) -> Path:
        with ledger.snapshot() as database:
            return pictures.object_file(database, data, uid, job, made)

    path = await page.look(look)
    return _image(await _seen(lambda: _pictures().of_file(path, _PAGE_BOX)))


async def _thumbnail(page: PageRequest) -> Response:
    _check(page)
    data = page.in_force.configuration.node.data

    def look(_: InForce, ledger: Ledger) -> Path:
        with ledger.snapshot() as database:
            return pictures.series_file(database, data, page.part("uid"), page.part("series"))

    path = await page.look(look)
    return _image(await _seen(lambda: _pictures().of_file(path, _THUMBNAIL_BOX)))


async def _result_images(page: PageRequest) -> ResultImages:
    data = page.in_force.configuration.node.data

    def look(_: InForce, ledger: Ledger) -> ResultImages:
        with ledger.snapshot() as database:
            return pictures.result_images(database, data, page.part("uid"), page.part("job"))

    return await page.look(look)


async def _slices(page: PageRequest) -> Response:
    _check(page)
    shown = await _result_images(page)
    found = await page.look(lambda in_force, ledger: read(page, in_force, ledger))
    await record_view(page, found.uid)
    summary = await _seen(lambda: _pictures().segmentation(shown))
    if summary is None:
        raise NotFoundError("this result has no segmentation")
    at = min(max(_number(page.asked("at"), summary.first + 1), 1), summary.slices)
    return page.render(
        "study_slices.html",
        uid=found.uid,
        name=found.name,
        job=job_of(found.history, page.part("job")),
        summary=summary,
        at=at,
    )


async def _slice(page: PageRequest) -> Response:
    _check(page)
    shown, number = await _result_images(page), _number(page.part("number"), 0)
    if number < 1:
        raise NotFoundError("there is no such slice")
    return _image(await _seen(lambda: _pictures().outlined(shown, number - 1, _SLICE_BOX)))


def _number(text: str, otherwise: int) -> int:
    if not text:
        return otherwise
    if not (text.isascii() and text.isdigit() and len(text) < _DIGITS):
        raise UsageError("the number of a slice is a small whole number")
    return int(text)


def _image(content: bytes) -> Response:
    return Response(content, media_type="image/png")


ROUTES = [
    PageRoute("/studies/{uid}/results/{job}", _results, Right.SEE_NODE),
    PageRoute("/studies/{uid}/results/{job}/pages/{object}", _page_picture, Right.SEE_NODE),
    PageRoute("/studies/{uid}/results/{job}/slices", _slices, Right.SEE_NODE),
    PageRoute("/studies/{uid}/results/{job}/slices/{number}", _slice, Right.SEE_NODE),
    PageRoute("/studies/{uid}/series/{series}", _thumbnail, Right.SEE_NODE),
]
