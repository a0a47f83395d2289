"""All pages of a set: the summary with its pictures in small, then each picture on a page; and how tall each is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from node.results.context import Context
from node.results.pages.canvas import TEXT, Canvas
from node.results.pages.key_slice import key_slices
from node.results.pages.page import HEIGHTS, Block, Frame, break_into_pages, draw_page, space, text_blocks
from node.results.pages.picture_page import Illustration, illustration_pages, illustrations, needed_height
from node.results.pages.summary_page import text_of_summary
from node.results.pages.thumbnails import Thumbnail, arranged

MOST_SLICES = 100
"""Key slices that have a page; of more the summary says so, and the report has them all."""


@dataclass(frozen=True)
class Sheet:
    """One page before it is drawn; `illustration`: what it shows, None on the summary."""

    blocks: Sequence[Block]
    height: int
    illustration: Illustration | None = None


def _summary(frame: Frame, text: Sequence[Block], thumbnails: Sequence[Thumbnail]) -> list[list[Block]]:
    """The text, then the thumbnails below it, or on pages of their own where there is no room for them."""
    pages = break_into_pages(frame, text)
    left = frame.room - sum(block.height for block in pages[-1])
    if below := arranged(thumbnails, left):
        return [*pages[:-1], [*pages[-1], *below]]
    remaining = list(thumbnails)
    while remaining:
        count = next((n for n in range(len(remaining), 0, -1) if arranged(remaining[:n], frame.room)), 0)
        if count == 0:
            break  # its caption takes the room: it is on a page of its own anyway
        pages.append(arranged(remaining[:count], frame.room))
        remaining = remaining[count:]
    return pages


def _height(context: Context, text: Sequence[Block], pictures: Sequence[Illustration]) -> int:
    """The least height on which each picture is as wide as the page and the summary is one page, if there is one."""
    thumbnails = [picture.thumbnail for picture in pictures]
    needed = max((needed_height(picture) for picture in pictures), default=0)
    for height in HEIGHTS[:-1]:
        frame = Frame(context, height)
        if needed <= frame.room and len(_summary(frame, text, thumbnails)) == 1:
            return height
    return HEIGHTS[-1]


def _trimmed(context: Context, blocks: Sequence[Block]) -> int:
    """The least height of a page that holds these blocks."""
    needed = sum(block.height for block in blocks)
    return next((height for height in HEIGHTS if Frame(context, height).room >= needed), HEIGHTS[-1])


def sheets(context: Context) -> list[Sheet]:
    """What stands on each page; pages that are frames of one object are all equally tall."""
    keys = key_slices(context)
    pictures, text = illustrations(context, keys[:MOST_SLICES]), text_of_summary(context)
    if len(keys) > MOST_SLICES:
        more = context.texts.more_images.format(shown=MOST_SLICES, count=len(keys))
        text += [space(10), *text_blocks(more, 20, TEXT)]
    frame = Frame(context, _height(context, text, pictures))
    pages: list[tuple[list[Block], Illustration | None]] = [
        (blocks, None) for blocks in _summary(frame, text, [picture.thumbnail for picture in pictures])
    ]
    for picture in pictures:
        pages += [(blocks, picture) for blocks in illustration_pages(frame, picture)]
    heights = [_trimmed(context, blocks) for blocks, _ in pages]
    if context.request.profile.sc_form == "multi-frame":
        heights = [max(heights)] * len(heights)
    return [Sheet(blocks, height, picture) for (blocks, picture), height in zip(pages, heights, strict=True)]


def draw(context: Context, made: Sequence[Sheet]) -> list[Canvas]:
    """The pages, counted."""
    return [draw_one(context, made, number) for number in range(1, len(made) + 1)]


def draw_one(context: Context, made: Sequence[Sheet], number: int) -> Canvas:
    """One page, from 1."""
    sheet = made[number - 1]
    return draw_page(Frame(context, sheet.height), sheet.blocks, number, len(made))
