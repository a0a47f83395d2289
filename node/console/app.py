"""The addresses that the console answers: /metrics, /healthz and /readyz."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import structlog
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from node.clock import SystemClock
from node.console import metrics
from node.console.reader import Reader
from node.desk import figures, health
from node.desk.health import HealthReport, Look
from node.errors import NodeError

log = structlog.get_logger(__name__)
_UNAVAILABLE = 503
_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
Answer = Callable[[Request], Awaitable[Response]]


def application(reader: Reader, allowed_names: Sequence[str]) -> Starlette:
    """The application; requests to other names than these are refused (DNS rebinding)."""
    return Starlette(
        routes=[
            Route("/metrics", _metrics(reader)),
            Route("/healthz", _health(reader, lambda configuration, _: health.alive(configuration))),
            Route("/readyz", _health(reader, health.ready)),
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=list(allowed_names), www_redirect=False)],
    )


def _metrics(reader: Reader) -> Answer:
    async def answer(_: Request) -> Response:
        try:
            text = await reader.read(
                lambda configuration, ledger: metrics.text(
                    configuration, figures.of(configuration, ledger), SystemClock().now()
                )
            )
        except (OSError, NodeError) as error:  # TimeoutError is an OSError
            log.warning("console.no-figures", reason=_why(error))
            return PlainTextResponse(f"{_why(error)}\n", _UNAVAILABLE, headers=_HEADERS)
        return Response(text, headers=_HEADERS, media_type=metrics.CONTENT_TYPE)

    return answer


def _health(reader: Reader, look: Look) -> Answer:
    async def answer(_: Request) -> Response:
        try:
            report = await reader.read(look)
        except (OSError, NodeError) as error:
            report = HealthReport({"data": _why(error)})
        return JSONResponse(report.plain(), 200 if report.is_well else _UNAVAILABLE, headers=_HEADERS)

    return answer


def _why(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "the data folder or the ledger does not answer"
    return str(error)
