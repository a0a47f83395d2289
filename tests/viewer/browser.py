"""Chromium without a window, driven by playwright-core through browser.mjs."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from PIL import Image

from tests.support.programs.peers import program
from tests.support.wait import until

HERE = Path(__file__).resolve().parent
_FONTS = """<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "urn:fontconfig:fonts.dtd">
<fontconfig><include ignore_missing="yes">/etc/fonts/fonts.conf</include><dir>{fonts}</dir><cachedir>{cache}</cachedir>
</fontconfig>"""
"""What the machine has, and a font with Hangul, as every machine in Korea has one: that of our pages."""


class BrowserError(AssertionError):
    """The page did not do what it should; with what its console said last."""


class Browser:
    """One window of 1,600 × 900 pixels with a fresh profile."""

    def __init__(self, profile: Path) -> None:
        self._profile = profile
        self._process: subprocess.Popen[str] | None = None

    def go(self, url: str) -> None:
        """Open an address."""
        self._do("go", url=url)

    def evaluate(self, script: str) -> Any:
        """What a JavaScript expression is in the page."""
        return self._do("evaluate", script=script)

    def wait(self, script: str, what: str, seconds: float = 240) -> None:
        """Until a JavaScript expression is true in the page."""
        try:
            self._do("wait", script=script, timeout=seconds * 1000)
        except BrowserError as error:
            raise BrowserError(f"waited {seconds:g} s for {what}\n{error}") from None

    def click(self, selector: str, *, double: bool = False) -> None:
        """Click on what a (playwright) selector finds first, as soon as it is there."""
        self._do("click", selector=selector, double=double)

    def attribute(self, selector: str, name: str) -> str:
        """An attribute of what a (playwright) selector finds first, as soon as it is there."""
        return str(self._do("attribute", selector=selector, name=name))

    def key(self, name: str) -> None:
        """Press a key, named as playwright does."""
        self._do("key", name=name)

    def write(self, text: str) -> None:
        """Type into whatever has the focus."""
        self._do("type", text=text)

    def text(self, selector: str) -> str:
        """What a person reads in what a (playwright) selector finds first."""
        return str(self._do("text", selector=selector))

    def scheme(self, name: str) -> None:
        """Prefer `light` or `dark` pages."""
        self._do("scheme", scheme=name)

    def scripts(self, *, on: bool) -> None:
        """Let pages run scripts, or none."""
        self._do("scripts", on=on)

    def fill(self, selector: str, text: str) -> None:
        """Type into what a (playwright) selector finds first."""
        self._do("fill", selector=selector, text=text)

    def size(self, width: int, height: int) -> None:
        """Make the window this large, in CSS pixels."""
        self._do("size", width=width, height=height)

    def inject(self, script: Path) -> None:
        """Run a script in the page, whatever its policy allows: axe, for example."""
        self._do("inject", path=str(script))

    def screenshot(self, path: Path, *, whole: bool = False) -> Path:
        """What the window shows, or the whole page, as PNG."""
        self._do("screenshot", path=str(path), whole=whole)
        return path

    def said(self) -> list[str]:
        """Warnings and errors of all pages so far."""
        return list(self._do("said"))

    def at_rest(self, folder: Path, seconds: float = 240) -> Image.Image:
        """What the window shows as soon as two looks at it are the same."""
        looks: list[bytes] = []

        def same() -> bool:
            looks.append(Image.open(self.screenshot(folder / "look.png")).convert("RGB").tobytes())
            return len(looks) > 1 and looks[-1] == looks[-2]

        until(same, seconds, "the window to come to rest")
        return Image.open(folder / "look.png").convert("RGB")

    def _do(self, command: str, **options: object) -> Any:
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"command": command, **options}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise BrowserError(f"the browser ended with {self._process.wait()}: {self._errors()}")
        answer = json.loads(line)
        if "error" in answer:
            said = "\n".join(self._do("said")[-10:]) if command != "said" else ""
            raise BrowserError(f"{command} {options}: {answer['error'][:1500]}\nconsole:\n{said}")
        return answer["value"]

    def _errors(self) -> str:
        return (self._profile / "errors.txt").read_text()[-2000:]

    def __enter__(self) -> Self:
        self._profile.mkdir()
        fonts = HERE.parents[1] / "node" / "results" / "pages" / "fonts"
        configuration = self._profile / "fonts.conf"
        configuration.write_text(_FONTS.format(fonts=fonts, cache=self._profile / "fonts"))
        with (self._profile / "errors.txt").open("w") as errors:
            self._process = subprocess.Popen(
                [
                    program("ohif", "node"),
                    str(HERE / "browser.mjs"),
                    program("ohif", "chromium"),
                    str(self._profile / "profile"),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                cwd=HERE,
                env=os.environ | {"FONTCONFIG_FILE": str(configuration)},
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()  # it closes Chromium and ends
        try:
            self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
