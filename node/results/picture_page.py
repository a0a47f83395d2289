"""Full-size pages: an annotated key slice or a picture of the plugin's, with its caption."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from node.results.canvas import SECONDARY, TEXT, Canvas, Colour, scaled
from node.results.context import Context
from node.results.fonts import Face, line_height, wrap
from node.results.heat import scale_block
from node.results.key_slice import DecodedSlice, decode, key_slices
from node.results.page import CONTENT, MARGIN, Block, Frame, break_into_pages, text_blocks
from node.results.sources import SourceImage
from node.results.summary_page import Thumbnail
from plugins.contract import Picture

_CAPTION, _LINE = 24, 20
_THUMBNAIL = 640
_LEAST = 420
"""Pixels of height that a picture has however long its legend is; the legend then runs on over the page."""


@dataclass(frozen=True)
class Illustration:
    """A picture with a page of its own, and what it is on the summary in small."""

    content: Picture | DecodedSlice
    sources: tuple[SourceImage, ...]
    thumbnail: Thumbnail


def illustrations(context: Context) -> list[Illustration]:
    """The key slices, then the plugin's own pictures."""
    made = []
    for key in key_slices(context):
        decoded = decode(context, key)
        where = decoded.lines[0] if decoded.decoded else " ".join(decoded.lines[:2])
        caption = f"{key.reason} – {where}" if where else key.reason
        made.append(Illustration(decoded, (key.image,), Thumbnail(decoded.draw((_THUMBNAIL, _THUMBNAIL)), caption)))
    for picture in context.request.result.pictures:
        uids = dict.fromkeys(reference.sop_instance_uid for reference in picture.sources)
        images = tuple(context.sources.find(uid, "Picture.sources") for uid in uids) or context.sources.images
        made.append(Illustration(picture, images, Thumbnail(picture.pixels, picture.caption)))
    return made


def _picture_block(pixels: NDArray[np.uint8], room: int) -> Block:
    picture = scaled(pixels, CONTENT, room)

    def draw(canvas: Canvas, top: int) -> None:
        canvas.paste(MARGIN + (CONTENT - picture.width) // 2, top, picture)

    return Block(picture.height + 8, draw)


def _captions(caption: str, lines: Sequence[str]) -> list[Block]:
    blocks = text_blocks(caption, _CAPTION, TEXT, Face.SEMIBOLD)
    for line in lines:
        blocks += text_blocks(line, _LINE, SECONDARY)
    return blocks


def _segment_legend(segments: Sequence[tuple[str, Colour]]) -> list[Block]:
    """One line for each segment: its colour, its name."""

    def block(label: str, colour: Colour, first: bool) -> Block:
        def draw(canvas: Canvas, top: int) -> None:
            if first:
                canvas.rectangle(MARGIN, top + 8, MARGIN + 18, top + 20, colour, radius=3)
            canvas.text(MARGIN + 28, top, label, _LINE, SECONDARY)

        return Block(line_height(_LINE), draw)

    return [
        block(line, colour, number == 0)
        for label, colour in segments
        for number, line in enumerate(wrap(label, Face.REGULAR, _LINE, CONTENT - 28))
    ]


def illustration_pages(context: Context, illustration: Illustration) -> list[list[Block]]:
    """The picture as large as its caption leaves room for; a very long legend goes on over the page."""
    frame = Frame(context)
    content = illustration.content
    if isinstance(content, Picture):
        captions = _captions(content.caption, [])
    else:
        captions = [*_captions(content.key.reason, content.lines), *_segment_legend(content.segments)]
        if content.key.heatmap is not None:
            captions = [scale_block(content.key.heatmap), *captions]
    room = max(frame.bottom - frame.top - 8 - sum(block.height for block in captions), _LEAST)
    pixels = content.pixels if isinstance(content, Picture) else content.draw((CONTENT, room))
    return break_into_pages(frame, [_picture_block(pixels, room), *captions])
