"""What a page is: an address, the right that it needs, and a function from a request to an answer.

async def _now(page: PageRequest) -> Response:
    found = await page.look(lambda in_force, ledger: overview.look(...))
    return page.render("now.html", found=found)

ROUTES = [PageRoute("/", _now, Right.SEE_NODE)]
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import quote

import structlog
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import Message, Receive

from node.accounts.database import Accounts
from node.clock import SystemClock
from node.config.console import ConsoleSettings
from node.config.in_force import InForce
from node.console.live import Changes, SharedReads
from node.console.reader import Ledger, Reader, why_not
from node.console.rendering import render, translated
from node.console.safety import LOGIN, is_from_elsewhere, is_same_secret, local_path
from node.console.visitor import Visitor, did_something
from node.desk.actor import Actor
from node.desk.logins import RefusedLogins
from node.desk.outcomes import ActionOutcome
from node.desk.rights import NotAllowedError, Right
from node.errors import NodeError, NotFoundError, TransientError, UsageError

log = structlog.get_logger(__name__)
T = TypeVar("T")
_NOT_ALLOWED, _NOT_FOUND, _BAD, _CONFLICT, _LATER, _BROKEN = 403, 404, 400, 409, 503, 500
_SEE_OTHER = 303
_FIELDS, _FORM_BYTES = 200, 2 << 20
"""Of a form, at most."""


@dataclass(frozen=True, slots=True)
class NavigationEntry:
    """A page in the list of pages."""

    path: str
    title: str
    right: Right


@dataclass(frozen=True)
class ConsoleSite:
    """What all pages share."""

    reader: Reader
    accounts: Accounts
    settings: ConsoleSettings
    navigation: Sequence[NavigationEntry]
    shared: SharedReads = field(init=False, default_factory=SharedReads)
    changes: Changes = field(init=False)
    refused: RefusedLogins = field(init=False, default_factory=RefusedLogins)
    guard: ThreadPoolExecutor = field(init=False, default_factory=lambda: ThreadPoolExecutor(1, "passwords"))
    """Looks at passwords one after the other: each takes 64 MiB and a tenth of a second, by intention."""
    said: dict[str, tuple[str, str]] = field(default_factory=dict)
    """What an action came to, for the next page of the one who acted: (ok or error, sentence)."""

    def __post_init__(self) -> None:
        """Begin with nothing seen."""
        object.__setattr__(self, "changes", Changes(self.reader, self.shared))

    async def look_at_password(self, what: Callable[[], T]) -> T:
        """Have something done that hashes passwords; raises what it raises."""
        return await asyncio.get_running_loop().run_in_executor(self.guard, what)

    async def record(self, what: Callable[[InForce, Ledger], None]) -> None:
        """Put on record what was done; a ledger that cannot be written keeps nobody from logging in."""
        try:
            await self.reader.act(what)
        except (NodeError, OSError) as error:
            log.warning("console.not-recorded", reason=why_not(error))


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Somebody asks for a page, and may."""

    http: Request
    site: ConsoleSite
    in_force: InForce
    visitor: Visitor | None
    """None on a page that needs no login."""
    language: str

    @property
    def who(self) -> Visitor:
        """The visitor of a page that needs one."""
        if self.visitor is None:
            raise NotAllowedError("log in first")
        return self.visitor

    @property
    def actor(self) -> Actor:
        """As events name the visitor."""
        return self.who.actor

    @property
    def now(self) -> datetime:
        """This moment."""
        return SystemClock().now()

    @property
    def first(self) -> str:
        """Where the visitor begins."""
        return next((each.path for each in self.site.navigation if self.who.may(each.right)), "/password")

    def asked(self, name: str, otherwise: str = "") -> str:
        """A value of the address's query."""
        return self.http.query_params.get(name, otherwise)

    def part(self, name: str) -> str:
        """A part of the address's path."""
        return str(self.http.path_params[name])

    async def form(self) -> FormData:
        """The form that was sent. NotAllowedError where it does not come from a page of ours; UsageError."""
        sent = await self.public_form()
        self.check_token(sent.get("csrf"))
        return sent

    async def public_form(self) -> FormData:
        """The form of somebody who is not logged in; UsageError where it is too large, or is not a form."""
        request = Request(self.http.scope, _limited(self.http.receive, _FORM_BYTES))
        try:
            return await request.form(max_fields=_FIELDS, max_files=_FIELDS, max_part_size=_FORM_BYTES)
        except (HTTPException, ValueError) as error:  # Starlette's own, and those of bad numbers and codecs
            log.warning("console.bad-form", path=self.http.url.path, reason=str(error))
            raise UsageError("this form cannot be read") from error

    def check_token(self, given: object) -> None:
        """NotAllowedError where this is not the token that the visitor's pages have."""
        if self.visitor is not None and not is_same_secret(given, self.visitor.csrf):
            raise NotAllowedError("this form is too old: open the page again")

    async def look(self, what: Callable[[InForce, Ledger], T]) -> T:
        """Have something read."""
        return await self.site.reader.look(what)

    async def look_together(self, name: str, what: Callable[[InForce, Ledger], T]) -> T:
        """Have something read that is the same for everybody, at most each two seconds."""
        found: T = await self.site.shared.get(name, lambda: self.site.reader.look(what))
        return found

    async def act(self, what: Callable[[InForce, Ledger], ActionOutcome], back: object) -> Response:
        """Have an action done, and show the page `back` with what came of it."""
        try:
            said = ("ok", (await self.site.reader.act(what)).sentence)
        except (NodeError, OSError) as error:
            said = ("error", self.reason(error))
        return self.go(back, *said)

    def reason(self, error: Exception) -> str:
        """Why something is not done, without the places of this machine; the log has them."""
        if not isinstance(error, NodeError):
            log.warning("console.not-done", path=self.http.url.path, reason=str(error))
            return why_not(error) if isinstance(error, TimeoutError) else "the disk refuses; the node's log says why"
        text = str(error)
        for path, name in ((self.in_force.configuration.node.data, "data"), (self.in_force.path.parent, "")):
            text = text.replace(f"{path}/", f"{name}/" if name else "").replace(str(path), name or "the folder")
        return text

    def go(self, back: object, kind: str = "", sentence: str = "") -> Response:
        """Show another page (303), with a sentence at its top."""
        if sentence:
            self.site.said[self.who.session or self.who.name] = (kind, sentence)
        return RedirectResponse(local_path(back), _SEE_OTHER)

    def words(self, text: str) -> str:
        """A text of ours in the visitor's language."""
        return translated(self.language, text)

    def render(self, template: str, status: int = 200, **values: Any) -> HTMLResponse:
        """The page of a template, which gets these values beside the common ones."""
        said = None
        if self.visitor is not None and not values.get("refreshing"):
            said = self.site.said.pop(self.visitor.session or self.visitor.name, None)
        common: Mapping[str, Any] = {
            "ae_title": self.in_force.configuration.node.ae_title,
            "configuration": self.in_force.configuration,
            "visitor": self.visitor,
            "csrf": self.visitor.csrf if self.visitor else "",
            "navigation": [each for each in self.site.navigation if self.visitor and self.visitor.may(each.right)],
            "here": self.http.url.path,
            "address": f"{self.http.url.path}?{self.http.url.query}".rstrip("?"),
            "said": said,
            "seen": self.site.changes.seen,
            "Right": Right,
            "now": self.now,
        }
        zone = self.in_force.configuration.node.zone
        return HTMLResponse(render(template, self.language, zone, **{**common, **values}), status)


PageAnswer = Callable[[PageRequest], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class PageRoute:
    """An address of the console."""

    path: str
    answer: PageAnswer
    right: Right | None
    """What the visitor's role must include; None where anybody who is logged in may."""
    methods: tuple[str, ...] = ("GET",)
    is_public: bool = False
    """Needs no login."""
    enter: Callable[[PageRequest], Awaitable[Response | None]] | None = None
    """Lets in whoever brings another proof of who asks, whoever is logged in there; None where nobody does."""


async def answered(route: PageRoute, page: PageRequest) -> Response:
    """The page, or why it is not shown: never a traceback."""
    visitor = page.visitor
    if is_from_elsewhere(page.http):
        return page.render("problem.html", _NOT_ALLOWED, problem="the request does not come from a page of this node")
    if route.enter is not None and (entered := await route.enter(page)) is not None:
        return entered
    if not route.is_public and visitor is None:
        return _to_login(page)
    if visitor is not None and visitor.must_change and route.right is not None:
        return RedirectResponse("/password", _SEE_OTHER)
    try:
        if route.path == "/" and route.right is not None and not page.who.may(route.right):
            return RedirectResponse(page.first, _SEE_OTHER)  # a reader's first page is another one
        if visitor is not None:
            did_something(page.http, page.site.accounts, visitor)
        if route.right is not None and not page.who.may(route.right):
            raise NotAllowedError(f"{page.who.name} ({page.who.role}) may not {route.right}")
        return await route.answer(page)
    except (NodeError, OSError) as error:
        return page.render("problem.html", _status_of(error), problem=page.reason(error))
    except Exception:
        number = secrets.token_hex(4)
        log.exception("console.page-failed", path=route.path, number=number)
        return page.render("problem.html", _BROKEN, problem=f"this page does not work; the log says why ({number})")


def _status_of(error: NodeError | OSError) -> int:
    if isinstance(error, NotAllowedError):
        return _NOT_ALLOWED
    if isinstance(error, NotFoundError):
        return _NOT_FOUND
    if isinstance(error, UsageError):
        return _BAD
    return _LATER if isinstance(error, TransientError | OSError) else _CONFLICT


def _limited(receive: Receive, most: int) -> Receive:
    """What is sent, as far as it is not more than this many bytes; UsageError."""
    left = most

    async def limited() -> Message:
        nonlocal left
        message = await receive()
        left -= len(message.get("body", b""))
        if left < 0:
            raise UsageError(f"this form is larger than {most >> 20} MiB")
        return message

    return limited


def _to_login(page: PageRequest) -> Response:
    """The login page, and from there back to where one wanted to go."""
    if "HX-Request" in page.http.headers:  # a page that is open and whose session has ended
        return Response(status_code=204, headers={"HX-Refresh": "true"})
    wanted = page.http.url.path if page.http.method == "GET" else "/"
    query = f"?{page.http.url.query}" if page.http.method == "GET" and page.http.url.query else ""
    if wanted == "/" and not query:
        return RedirectResponse(LOGIN, _SEE_OTHER)
    return RedirectResponse(f"{LOGIN}?next={quote(wanted + query, safe='')}", _SEE_OTHER)
