"""The pictures on the summary, right below the answer: what a reader looks at first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from node.results.context import Context
from node.results.pages import mammogram
from node.results.pages.key_slice import DecodedSlice, KeySlice, decode
from node.results.pages.legend import in_rows
from node.results.pages.page import CONTENT, Block
from node.results.pages.picture_page import Illustration
from node.results.pages.thumbnails import NOTHING, Arrangement, Slots, Thumbnail, arranged
from node.results.source.images import SourceImage
from plugins.contract import ResultStatus

MOST = 4
"""Pictures below the answer."""
LARGE = 0.5
"""Share of a page's width from which a picture needs no page of its own."""
_SHARE = 0.5
"""Of the first page that the pictures get where the text does not fit beside them."""
_SHARE_OF_BREASTS = 0.8
"""The same of the four views of a mammogram: in two rows, in half of a page, nothing would be seen on them."""


@dataclass(frozen=True)
class Front:
    """The pictures below the answer, in rows."""

    slots: Slots
    illustrations: tuple[Illustration | None, ...] = ()
    """Of each picture its page, where it has one."""
    head: tuple[Block, ...] = ()
    """Above them: the breasts with their scores."""
    legend: tuple[Block, ...] = ()
    """Below them: what their outlines are."""
    of_breasts: bool = False

    @property
    def _height_beside(self) -> int:
        return sum(block.height for block in (*self.head, *self.legend))

    def within(self, room: int) -> Arrangement:
        """As large as the room lets them be."""
        columns = 2 if self.of_breasts else 0
        made = arranged(self.slots, room - self._height_beside, columns=columns, back_to_back=self.of_breasts)
        if not made.blocks:
            return NOTHING
        return Arrangement((*self.head, *made.blocks, *self.legend), made.widths)

    def on_first_page(self, room: int, beside: int) -> Arrangement:
        """In a room from which all other text takes `beside`; where that is too much, in a share of the room."""
        whole = self.within(room - beside)
        share = _SHARE_OF_BREASTS if self.of_breasts else _SHARE
        return whole if whole.blocks else self.within(round(room * share))

    def large(self, made: Arrangement) -> list[int]:
        """The numbers of the pictures that are so large there that a page of their own would show the same again."""
        shown = zip(self.illustrations, made.widths, strict=False)
        return [each.number for each, used in shown if each is not None and used >= LARGE * CONTENT]


def front_of(context: Context, pictures: Sequence[Illustration]) -> Front:
    """The four views of a mammogram; else the first key slices; else an image that was analysed.

    What a plugin drew holds text of its own, which is illegible in small: it has its own page alone.
    """
    slices = [each for each in pictures if isinstance(each.content, DecodedSlice) and each.content.decoded]
    if context.request.result.status not in {ResultStatus.FINDINGS, ResultStatus.NO_FINDINGS}:
        chosen: list[Illustration] = slices[:MOST]
        return Front([each.thumbnail for each in chosen], tuple(chosen), legend=legend_of(chosen))
    if views := mammogram.views_of(context.sources):
        return _breasts(context, views, slices)
    chosen = slices[:MOST]
    if len(chosen) == 1:
        return Front([_whole(chosen[0])], tuple(chosen), legend=legend_of(chosen))
    if pictures:
        return Front([each.thumbnail for each in chosen], tuple(chosen), legend=legend_of(chosen))
    shown = _plain(context, _middle(context.sources.images), context.texts.analysed_image)
    return Front([shown], (None,)) if shown else Front([])


def legend_of(pictures: Iterable[Illustration]) -> tuple[Block, ...]:
    """What the outlines in these pictures are."""
    shown = (each.content.segments for each in pictures if isinstance(each.content, DecodedSlice))
    return tuple(in_rows(outline for outlines in shown for outline in outlines))


def _whole(picture: Illustration) -> Thumbnail:
    """A picture that may have no page of its own, with all that would be said there."""
    assert isinstance(picture.content, DecodedSlice)
    return replace(picture.thumbnail, caption=picture.content.full_caption)


def _breasts(context: Context, views: mammogram.Views, slices: Sequence[Illustration]) -> Front:
    """The standard views with what was found on them; a view without a finding is shown too."""
    by_image: dict[str, Illustration] = {}
    for each in slices:
        assert isinstance(each.content, DecodedSlice)
        by_image.setdefault(each.content.key.image.reference.sop_instance_uid, each)
    found = [by_image.get(image.reference.sop_instance_uid) if image else None for image in views]
    slots = [
        each.thumbnail if each else _plain(context, image, "") if image else None
        for each, image in zip(found, views, strict=True)
    ]
    shown = [each for each in found if each]
    return Front(slots, tuple(found), tuple(mammogram.head(context)), legend_of(shown), of_breasts=True)


def _middle(images: Sequence[SourceImage]) -> SourceImage:
    """An image from the middle of the series with the most images."""
    by_series: dict[str, list[SourceImage]] = {}
    for image in images:
        by_series.setdefault(image.reference.series_instance_uid, []).append(image)
    longest = max(by_series.values(), key=len)
    return longest[len(longest) // 2]


def _plain(context: Context, image: SourceImage, why: str) -> Thumbnail | None:
    """An image on which nothing is drawn; None where its pixels cannot be decoded."""
    decoded = decode(context, KeySlice(image, (image.frames + 1) // 2, why, None, ()))
    return Thumbnail(decoded.size, decoded.draw, decoded.caption) if decoded.decoded else None
