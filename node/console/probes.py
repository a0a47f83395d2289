"""The addresses for machines: /metrics, /healthz and /readyz. No password; they name no study and no patient."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from node.clock import SystemClock
from node.console import metrics
from node.console.reader import Reader, why_not
from node.desk import figures, health
from node.desk.health import HealthReport, Look
from node.errors import NodeError

log = structlog.get_logger(__name__)
_UNAVAILABLE = 503
_HEADERS = {"Cache-Control": "no-store"}
Answer = Callable[[Request], Awaitable[Response]]


def routes(reader: Reader) -> list[Route]:
    """Them."""
    return [
        Route("/metrics", _metrics(reader)),
        Route("/healthz", _health(reader, lambda configuration, _: health.alive(configuration))),
        Route("/readyz", _health(reader, health.ready)),
    ]


def _metrics(reader: Reader) -> Answer:
    async def answer(_: Request) -> Response:
        try:
            text = await reader.read(
                lambda configuration, ledger: metrics.text(
                    configuration, figures.of(configuration, ledger), SystemClock().now()
                )
            )
        except (OSError, NodeError) as error:  # TimeoutError is an OSError
            log.warning("console.no-figures", reason=why_not(error))
            return PlainTextResponse(f"{why_not(error)}\n", _UNAVAILABLE, headers=_HEADERS)
        return Response(text, headers=_HEADERS, media_type=metrics.CONTENT_TYPE)

    return answer


def _health(reader: Reader, look: Look) -> Answer:
    async def answer(_: Request) -> Response:
        try:
            report = await reader.read(look)
        except (OSError, NodeError) as error:
            report = HealthReport({"data": why_not(error)})
        return JSONResponse(report.plain(), 200 if report.is_well else _UNAVAILABLE, headers=_HEADERS)

    return answer
