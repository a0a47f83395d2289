"""The font of the pages: it ships with the project, so a page looks the same wherever it is made."""

from __future__ import annotations

import unicodedata
from enum import Enum
from functools import cache, lru_cache
from importlib.resources import files
from io import BytesIO

from PIL import ImageFont

MISSING = "▯"
"""Stands for a character that the font cannot draw."""


class Face(Enum):
    """The two weights in use."""

    REGULAR = "Pretendard-Regular.otf"
    SEMIBOLD = "Pretendard-SemiBold.otf"


@cache
def font(face: Face, size: int) -> ImageFont.FreeTypeFont:
    """A weight at a size in pixels; basic layout, because raqm is not in every build of Pillow."""
    content = (files("node.results.pages") / "fonts" / face.value).read_bytes()
    return ImageFont.truetype(BytesIO(content), size, layout_engine=ImageFont.Layout.BASIC)


@cache
def _shape(character: str) -> bytes:
    return bytes(font(Face.REGULAR, 24).getmask(character))


@cache
def _drawable(character: str) -> bool:
    # U+10FFFF is assigned to nothing: what it looks like is how the font draws what it lacks.
    return character.isspace() or _shape(character) != _shape("\U0010ffff")


def drawable(text: str) -> str:
    """`text` as it can be drawn: composed (NFC), white space plain, unknown characters as ▯."""
    composed = unicodedata.normalize("NFC", text)
    return "".join(
        " " if c.isspace() else c if _drawable(c) else MISSING
        for c in composed
        if unicodedata.category(c) not in {"Cf", "Cc"} or c.isspace()
    )


@lru_cache(maxsize=2**16)
def width(text: str, face: Face, size: int) -> int:
    """Pixels that `text` takes on one line."""
    return round(font(face, size).getlength(text))


def line_height(size: int) -> int:
    """Pixels from one base line to the next."""
    return round(size * 1.34)


def _break_word(word: str, face: Face, size: int, limit: int) -> list[str]:
    pieces, piece = [], ""
    for character in word:
        if piece and width(piece + character, face, size) > limit:
            pieces.append(piece)
            piece = ""
        piece += character
    return [*pieces, piece]


def wrap(text: str, face: Face, size: int, limit: int) -> list[str]:
    """See `_wrapped`; pages are tried in many heights, so that each text is wrapped many times."""
    return list(_wrapped(text, face, size, limit))


@lru_cache(maxsize=2**14)
def _wrapped(text: str, face: Face, size: int, limit: int) -> tuple[str, ...]:
    """`text` in lines of at most `limit` pixels: broken at spaces, within a word only where it is longer than a line.

    Line feeds are kept as breaks. Nothing is left out.
    """
    lines: list[str] = []
    for paragraph in text.splitlines() or [""]:
        line = ""
        for word in drawable(paragraph).split():
            joined = f"{line} {word}" if line else word
            if width(joined, face, size) <= limit:
                line = joined
                continue
            if line:
                lines.append(line)
            *full, line = _break_word(word, face, size, limit)
            lines.extend(full)
        lines.append(line)
    return tuple(lines)
