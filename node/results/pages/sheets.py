"""All pages of a set: the summary with pictures below the answer, then those that need a page; and how tall each is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from node.results.context import Context
from node.results.pages.canvas import SECONDARY, TEXT, Canvas
from node.results.pages.finding_list import has_many
from node.results.pages.front import MOST, Front, front_of, legend_of
from node.results.pages.key_slice import DecodedSlice, KeySlice, key_slices
from node.results.pages.page import HEIGHTS, Block, PageFrame, break_into_pages, draw_page, space, text_blocks
from node.results.pages.picture_page import Illustration, illustration_pages, illustrations, needed_height
from node.results.pages.summary_page import answer_of_summary, details_of_summary
from node.results.pages.thumbnails import NOTHING, Arrangement, arranged

_SMALL = 16
"""Key slices on a page of small ones."""
_LEAST_SMALL = 150
MOST_SLICES = MOST + _SMALL
"""Key slices that are on pages; of more the summary says so, and the report has them all."""


@dataclass(frozen=True)
class Sheet:
    """One page before it is drawn; `illustration`: what it shows, None where it shows several or text."""

    blocks: Sequence[Block]
    height: int
    illustration: Illustration | None = None


@dataclass(frozen=True)
class _Summary:
    """The text above and below the pictures, and the pictures."""

    answer: Sequence[Block]
    details: Sequence[Block]
    front: Front

    def pictures(self, frame: PageFrame) -> Arrangement:
        """The pictures on a page of this height."""
        if not any(self.front.slots):
            return NOTHING
        left = frame.room - _height_of(self.answer)
        return self.front.on_first_page(left, _height_of(self.details))

    def pages(self, frame: PageFrame) -> list[list[Block]]:
        """The answer, the pictures, then everything else, which runs on over the page."""
        return break_into_pages(frame, [*self.answer, *self.pictures(frame).blocks, *self.details])


def _height_of(blocks: Sequence[Block]) -> int:
    return sum(block.height for block in blocks)


def _height(context: Context, summary: _Summary, pictures: Sequence[Illustration]) -> int:
    """The least height on which the summary is one page, and each picture is on it or as wide as its own page."""
    needed = {picture.number: needed_height(picture) for picture in pictures}
    for height in HEIGHTS[:-1]:
        frame = PageFrame(context, height)
        if len(summary.pages(frame)) > 1:
            continue
        if summary.front.of_breasts:
            continue  # four views are as large as a page lets them be
        made = summary.pictures(frame)
        large = summary.front.large(made)
        if any(summary.front.slots) and not made.blocks:
            continue
        if not large and len(summary.front.slots) == 1:
            continue
        if all(number in large or tall <= frame.room for number, tall in needed.items()):
            return height
    return HEIGHTS[-1]


def _trimmed(context: Context, blocks: Sequence[Block]) -> int:
    """The least height of a page that holds these blocks."""
    needed = sum(block.height for block in blocks)
    return next((height for height in HEIGHTS if PageFrame(context, height).room >= needed), HEIGHTS[-1])


def sheets(context: Context) -> list[Sheet]:
    """What stands on each page; pages that are frames of one object are all equally tall."""
    keys = key_slices(context)
    pictures = illustrations(context, keys[:MOST_SLICES])
    details = details_of_summary(context)
    details += _not_decoded(pictures)
    if len(keys) > MOST_SLICES:
        details += [space(10), *text_blocks(_not_shown(context, keys), 20, TEXT)]
    summary = _Summary(answer_of_summary(context), details, front_of(context, pictures))
    full, small = _with_a_page(pictures, summary.front, many=has_many(context))
    frame = PageFrame(context, _height(context, summary, full))
    large = summary.front.large(summary.pictures(frame))
    pages: list[tuple[list[Block], Illustration | None]] = [(blocks, None) for blocks in summary.pages(frame)]
    pages += [(blocks, None) for blocks in _small_ones(frame, small)]
    for picture in full:
        if picture.number not in large:
            pages += [(blocks, picture) for blocks in illustration_pages(frame, picture)]
    heights = [_trimmed(context, blocks) for blocks, _ in pages]
    if context.request.profile.sc_form == "multi-frame":
        heights = [max(heights)] * len(heights)
    return [Sheet(blocks, height, picture) for (blocks, picture), height in zip(pages, heights, strict=True)]


def _not_shown(context: Context, keys: Sequence[KeySlice]) -> str:
    """That there are more key slices than pages show, and where the reader finds those that the plugin named."""
    texts = context.texts
    more = texts.more_images.format(shown=MOST_SLICES, count=len(keys))
    named = sum(key.is_named for key in keys[MOST_SLICES:])
    selected = "ko" in context.request.profile.kinds_for(context.request.result.status) and not context.lacks("ko")
    return f"{more} {texts.more_key_images.format(count=named)}" if named and selected else more


def _with_a_page(
    pictures: Sequence[Illustration], front: Front, *, many: bool
) -> tuple[list[Illustration], list[Illustration]]:
    """Those that get a page each, and those that share one.

    A few key slices have a page, of many findings the first one; and what the plugin drew.
    """
    slices = [each for each in pictures if isinstance(each.content, DecodedSlice)]
    drawn = [each for each in pictures if each not in slices]
    sound = [each for each in slices if isinstance(each.content, DecodedSlice) and each.content.decoded]
    if len(sound) <= MOST:
        return [*(sound[:1] if many else sound), *drawn], []
    return drawn, [each for each in sound if each not in front.illustrations]


def _small_ones(frame: PageFrame, pictures: Sequence[Illustration]) -> list[list[Block]]:
    """Many key slices, as many on a page as are legible."""
    pages = []
    remaining = list(pictures)
    while remaining:
        counts = range(min(_SMALL, len(remaining)), 0, -1)
        made = next((found for n in counts if (found := _small(frame, remaining[:n])).blocks), NOTHING)
        if not made.blocks:
            break  # its caption takes the room: its row says all of it anyway
        pages.append(list(made.blocks))
        remaining = remaining[len(made.widths) :]
    return pages


def _small(frame: PageFrame, pictures: Sequence[Illustration]) -> Arrangement:
    """These on one page, with what their outlines are; nothing where they are too many for that."""
    legend = legend_of(pictures)
    room = frame.room - _height_of(legend)
    made = arranged([each.thumbnail for each in pictures], room, least=_LEAST_SMALL)
    return Arrangement((*made.blocks, *legend), made.widths) if made.blocks else NOTHING


def _not_decoded(pictures: Sequence[Illustration]) -> list[Block]:
    """In words what lies on images whose pixels cannot be shown: a black picture says nothing."""
    lost = [each.content for each in pictures if isinstance(each.content, DecodedSlice) and not each.content.decoded]
    lines = [block for content in lost for block in text_blocks(content.caption, 20, SECONDARY)]
    return [space(10), *lines] if lines else []


def draw(context: Context, made: Sequence[Sheet]) -> list[Canvas]:
    """The pages, counted."""
    return [draw_one(context, made, number) for number in range(1, len(made) + 1)]


def draw_one(context: Context, made: Sequence[Sheet], number: int) -> Canvas:
    """One page, from 1."""
    sheet = made[number - 1]
    return draw_page(PageFrame(context, sheet.height), sheet.blocks, number, len(made))
