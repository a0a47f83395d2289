"""Full-size pages: an annotated key slice or a picture of the plugin's, with its caption."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from node.results.context import Context
from node.results.pages.canvas import SECONDARY, TEXT, Canvas, fitting, scaled
from node.results.pages.fonts import Face
from node.results.pages.heat import scale_block
from node.results.pages.key_slice import DecodedSlice, KeySlice, decode
from node.results.pages.legend import in_lines
from node.results.pages.page import CONTENT, HEIGHTS, MARGIN, Block, PageFrame, break_into_pages, text_blocks
from node.results.pages.thumbnails import Thumbnail
from node.results.source.images import SourceImage
from plugins.contract import Picture

_CAPTION, _LINE = 24, 20
_BELOW = 8
_LEAST = 420
"""Pixels of height that a picture has however long its legend is; the legend then runs on over the page."""


@dataclass(frozen=True)
class Illustration:
    """A picture with a page of its own, and what it is on the summary in small."""

    number: int
    """Among all pictures of the result, from 1."""
    content: Picture | DecodedSlice
    sources: tuple[SourceImage, ...]
    thumbnail: Thumbnail


def illustrations(context: Context, keys: Sequence[KeySlice]) -> list[Illustration]:
    """The key slices, then the plugin's own pictures; without those that cannot be drawn."""
    made: list[Illustration] = []
    if context.lacks("picture"):
        return made
    for number, key in enumerate(keys, start=1):
        if context.lacks("picture", number):
            continue
        decoded = decode(context, key)
        made.append(Illustration(number, decoded, (key.image,), Thumbnail(decoded.size, decoded.draw, decoded.caption)))
    for number, picture in enumerate(context.request.result.pictures, start=len(keys) + 1):
        if context.lacks("picture", number):
            continue
        uids = dict.fromkeys(reference.sop_instance_uid for reference in picture.sources)
        images = tuple(context.sources.find(uid, "Picture.sources") for uid in uids) or context.sources.images
        size = (picture.pixels.shape[1], picture.pixels.shape[0])
        made.append(
            Illustration(number, picture, images, Thumbnail(size, partial(scaled, picture.pixels), picture.caption))
        )
    return made


def _picture_block(thumbnail: Thumbnail, room: int) -> Block:
    wide, tall = fitting(thumbnail.size, (CONTENT, room))

    def draw(canvas: Canvas, top: int) -> None:
        canvas.paste(MARGIN + (CONTENT - wide) // 2, top, thumbnail.draw((wide, tall)))

    return Block(tall + _BELOW, draw)


def _captions(caption: str, lines: Sequence[str]) -> list[Block]:
    blocks = text_blocks(caption, _CAPTION, TEXT, Face.SEMIBOLD)
    for line in lines:
        blocks += text_blocks(line, _LINE, SECONDARY)
    return blocks


def _legend(illustration: Illustration) -> list[Block]:
    content = illustration.content
    if isinstance(content, Picture):
        return _captions(content.caption, [])
    captions = [*_captions(content.key.reason, content.lines), *in_lines(content.segments)]
    return (
        [scale_block(content.key.heatmap, content.context.texts), *captions]
        if content.key.heatmap is not None
        else captions
    )


def needed_height(illustration: Illustration) -> int:
    """Of the picture as wide as a page, and its legend."""
    _, tall = fitting(illustration.thumbnail.size, (CONTENT, HEIGHTS[-1]))
    return tall + _BELOW + sum(block.height for block in _legend(illustration))


def illustration_pages(frame: PageFrame, illustration: Illustration) -> list[list[Block]]:
    """The picture as large as its caption leaves room for; a very long legend goes on over the page."""
    legend = _legend(illustration)
    room = max(frame.room - _BELOW - sum(block.height for block in legend), _LEAST)
    return break_into_pages(frame, [_picture_block(illustration.thumbnail, room), *legend])
