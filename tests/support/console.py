"""The console in this process: asked by an HTTP client as a browser would, without a socket."""

from __future__ import annotations

import asyncio
import html
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx
from argon2 import PasswordHasher

from node.accounts import passwords, users
from node.accounts.database import Accounts
from node.accounts.roles import Role
from node.clock import SystemClock
from node.config.console import ConsoleSettings
from node.console.app import application
from node.console.reader import Reader

PASSWORD = "correct horse battery"
BASE = "http://127.0.0.1:8088"
_TOKEN = re.compile(r'name="csrf" value="([^"]+)"')


class ConsoleClient:
    """A browser of one person; `log_in` first."""

    def __init__(self, in_force: Path, data: Path, settings: ConsoleSettings | None = None) -> None:
        """`in_force`: the file of what is in force (`node.config.in_force`)."""
        self.app = application(Reader(in_force), settings or ConsoleSettings(), data)
        self.accounts = Accounts(data)
        self.cookies = httpx.Cookies()

    def log_in(self, role: Role, name: str = "") -> None:
        """As a user of this role, who is made if there is none."""
        name = name or role.value
        if users.get(self.accounts, name) is None:
            with cheap_hashes():
                users.add(self.accounts, name, role, SystemClock().now(), "os:test")
                users.choose_password(self.accounts, name, PASSWORD)
        answer = self.post("/login", {"name": name, "password": PASSWORD}, token=False)
        assert answer.status_code == 303, text_of(answer)

    def get(self, path: str, **headers: str) -> httpx.Response:
        """Ask for a page; redirections are not followed."""
        return self.ask("GET", path, headers=headers)

    def post(self, path: str, values: Mapping[str, str], *, token: bool = True, **more: Any) -> httpx.Response:
        """Send a form, with the token that the visitor's pages have."""
        known = {"csrf": self.token()} if token else {}
        return self.ask("POST", path, data={**known, **values}, **more)

    def token(self) -> str:
        """The visitor's token, as each page has it."""
        found = _TOKEN.search(self.get("/password").text)
        assert found, "nobody is logged in"
        return found[1]

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        """One request; cookies are kept."""

        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, client=("127.0.0.1", 50000))
            async with httpx.AsyncClient(transport=transport, base_url=BASE, cookies=self.cookies) as client:
                answer = await client.request(method, path, **more)
                self.cookies = client.cookies
                return answer

        return asyncio.run(send())


@contextmanager
def cheap_hashes() -> Iterator[None]:
    """Hash passwords with parameters that cost a test nothing; a hash says its own, so it can be checked later."""
    cheap = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    nobody = cheap.hash("nobody")
    with patch.object(passwords, "_hasher", lambda: cheap), patch.object(passwords, "_nobody", lambda: nobody):
        yield


def text_of(answer: httpx.Response) -> str:
    """What a person reads on a page: without tags, spaces as one."""
    body = re.sub(r"<(script|style)\b.*?</\1>", "", answer.text, flags=re.S)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", body))).strip()
