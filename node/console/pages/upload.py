"""What would the rules do with these files? And: take them, as if a modality had sent them."""

from __future__ import annotations

from starlette.responses import Response

from node.console import children
from node.console.page import PageRequest, PageRoute
from node.console.reader import why_not
from node.console.receiving import MOST_BYTES, ReceivedForm, received
from node.console.visitor import address_of
from node.desk import uploads
from node.desk.rights import NotAllowedError, Right
from node.desk.uploads import UploadReport, UploadTask
from node.errors import NodeError

_SECONDS = 300.0
"""For all files of one upload."""
_BAD = 400
_EXPLAIN, _SEND = "explain", "send"


async def _upload(page: PageRequest) -> Response:
    return _shown(page)


async def _given(page: PageRequest) -> Response:
    configuration = page.in_force.configuration

    def check(form: ReceivedForm) -> None:
        page.check_token(form.fields.get("csrf"))

    def check_room(octets: int) -> None:
        uploads.check_room(configuration, octets)

    try:
        async with received(page.http, configuration.node.data, check, check_room) as form:
            is_sent = form.fields.get("do") == _SEND
            task = UploadTask(
                form.files, form.folder, page.in_force.value, page.in_force.folder, page.now, address_of(page.http)
            )
            function = uploads.take_files if is_sent else uploads.explain_files
            report = await children.call(function, task, _SECONDS, heavy=True)
            if is_sent:
                by, at = page.actor, page.now
                await page.site.reader.act(lambda _, ledger: uploads.record(ledger, report, at, by))
    except NotAllowedError:
        raise
    except (NodeError, OSError) as error:
        return _shown(page, problem=why_not(error), status=_BAD)
    return _shown(page, report, is_sent=is_sent)


def _shown(
    page: PageRequest,
    report: UploadReport | None = None,
    *,
    is_sent: bool = False,
    problem: str = "",
    status: int = 200,
) -> Response:
    return page.render("upload.html", status, report=report, is_sent=is_sent, problem=problem, most=MOST_BYTES)


ROUTES = [
    PageRoute("/upload", _upload, Right.UPLOAD),
    PageRoute("/upload", _given, Right.UPLOAD, ("POST",)),
]
