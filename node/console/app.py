"""The console as one application: addresses for machines, pages for people, and what guards them."""

from __future__ import annotations

import mimetypes
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from pathlib import Path

import structlog
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from node.accounts.database import Accounts
from node.config.console import ConsoleSettings
from node.console import probes
from node.console.page import ConsoleSite, PageRequest, PageRoute, answered
from node.console.pages import NAVIGATION, ROUTES
from node.console.reader import Reader, why_not
from node.console.rendering import LANGUAGES, STATIC
from node.console.safety import KnownHosts, SafeHeaders
from node.console.visitor import may_come, visitor_of
from node.errors import NodeError

log = structlog.get_logger(__name__)
LANGUAGE_COOKIE = "pacsnode-language"
_A_YEAR = "public, max-age=31536000, immutable"
_NO_PAGES = (
    "no pages here: people log in over HTTPS (console.tls), behind a proxy (console.proxy), or on this machine\n"
)


def application(reader: Reader, settings: ConsoleSettings, data: Path) -> Starlette:
    """The application; requests to other names than the site's are refused (DNS rebinding)."""
    routes = [*probes.routes(reader), Route("/static/{name:path}", _static)]
    if settings.has_pages:
        site = ConsoleSite(reader, Accounts(data), settings, NAVIGATION)
        routes += [Route(each.path, _page(site, each), methods=list(each.methods)) for each in ROUTES]
        routes += [Route("/{path:path}", _page(site, _NOWHERE))]
    else:
        routes += [Route("/", lambda _: PlainTextResponse(_NO_PAGES, 404))]
    return Starlette(
        routes=routes,
        middleware=[
            Middleware(SafeHeaders),
            Middleware(KnownHosts, names=settings.allowed_names),
        ],
    )


def _page(site: ConsoleSite, route: PageRoute) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        if not may_come(request, site.settings):
            return PlainTextResponse(_NO_PAGES, 404)
        try:
            in_force = await site.reader.in_force()
            visitor = visitor_of(request, site.accounts, site.settings)
        except (NodeError, OSError) as error:  # names files, which are nobody's business who is not logged in
            log.warning("console.no-page", path=route.path, reason=why_not(error))
            return PlainTextResponse("no page can be shown now; the node's log says why\n", 503)
        chosen = request.cookies.get(LANGUAGE_COOKIE, "")
        language = chosen if chosen in LANGUAGES else site.settings.language
        return await answered(route, PageRequest(request, site, in_force, visitor, language))

    return answer


async def _nowhere(page: PageRequest) -> Response:
    return page.render("problem.html", 404, problem=page.words("There is no such page."))


_NOWHERE = PageRoute("/{path:path}", _nowhere, None)


async def _static(request: Request) -> Response:
    """A file of the package, as a whole; nothing else has an address, whatever it is called."""
    name = str(request.path_params["name"])
    known = _files()
    if name not in known:
        return PlainTextResponse("there is no such file\n", 404)
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    return Response(known[name], media_type=kind, headers={"Cache-Control": _A_YEAR})


@cache
def _files() -> Mapping[str, bytes]:
    """Those of static/, read once."""
    return {str(path.relative_to(STATIC)): path.read_bytes() for path in STATIC.rglob("*") if path.is_file()}
