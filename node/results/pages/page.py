"""Pages: the frame that every page has, and blocks that flow into it from page to page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from node.results.context import Context
from node.results.pages.canvas import BACKGROUND, MARKING, ON_MARKING, PANEL, RULE, SECONDARY, TEXT, Canvas, Colour
from node.results.pages.fonts import MISSING, Face, drawable, line_height, width, wrap

WIDTH = 1024
HEIGHTS = (576, 640, 704, 768, 832, 896, 960, 1024, 1088, 1152, 1216, 1280)
"""A page has the least height on which it looks full, so that viewers, which fit it to the window, show little text
large. The greatest is 4:5, as a portrait reading monitor.
"""
MARGIN = 36
CONTENT = WIDTH - 2 * MARGIN
_SMALL = 18
_BADGE = 26
_GAP = 18
_MOST_LINES_OF_USE = 3


@dataclass(frozen=True)
class Block:
    """A strip of a page: it is drawn as a whole, never across a page break."""

    height: int
    draw: Callable[[Canvas, int], None]
    """Called with the canvas and the y of its top."""
    keep_with_next: bool = False
    """A heading: it does not stay alone at the foot of a page."""
    repeat: Block | None = None
    """Drawn again above this block where it opens a page: a table's head."""


def space(height: int) -> Block:
    """Room between blocks; a heading keeps it."""
    return Block(height, lambda _canvas, _top: None, keep_with_next=True)


def text_blocks(
    text: str,
    size: int,
    colour: Colour = TEXT,
    face: Face = Face.REGULAR,
    indent: int = 0,
    keep_together: bool = False,
    ground: Colour = BACKGROUND,
) -> list[Block]:
    """A paragraph: one block for each line, so that a long one runs on over the page."""

    def line_block(line: str, last: bool) -> Block:
        def draw(canvas: Canvas, top: int) -> None:
            canvas.text(MARGIN + indent, top, line, size, colour, face, ground)

        return Block(line_height(size), draw, keep_with_next=keep_together and not last)

    lines = wrap(text, face, size, CONTENT - indent)
    return [line_block(line, index == len(lines) - 1) for index, line in enumerate(lines)]


def heading(text: str) -> list[Block]:
    """A section's title over a thin line."""

    def draw(canvas: Canvas, top: int) -> None:
        canvas.text(MARGIN, top, text, _SMALL + 2, SECONDARY, Face.SEMIBOLD)
        line = top + line_height(_SMALL + 2) + 3
        canvas.rectangle(MARGIN, line, WIDTH - MARGIN, line + 1, RULE)

    return [space(_GAP), Block(line_height(_SMALL + 2) + 10, draw, keep_with_next=True)]


@dataclass(frozen=True)
class PageFrame:
    """What stands on every page: the marking above, who made it and when below."""

    context: Context
    height: int = HEIGHTS[-1]
    footer: tuple[str, ...] = field(init=False)
    badge_size: int = field(init=False)
    spelled_out: tuple[str, ...] = field(init=False)
    long_intended_use: str = field(init=False)
    """The algorithm's intended use where it is too long for the foot of every page."""

    def __post_init__(self) -> None:
        context, texts = self.context, self.context.texts
        request = context.request
        algorithm = request.algorithm
        lines = [
            f"{texts.software}: {algorithm.name} {texts.version} {algorithm.version}"
            f" ({texts.by} {algorithm.manufacturer})  ·  {texts.not_verified}",
            f"{texts.images_complete} {context.shown_time(request.images_complete_at)}"
            f"  ·  {texts.result_made} {context.shown_time(request.result_made_at)}",
        ]
        use = algorithm.intended_use
        short = len(wrap(use, Face.REGULAR, _SMALL, CONTENT)) <= _MOST_LINES_OF_USE
        if use and short:
            lines.append(use)
        object.__setattr__(self, "long_intended_use", "" if short else use)
        wrapped = [part for line in lines for part in wrap(line, Face.REGULAR, _SMALL, CONTENT)]
        badge = _BADGE
        while badge > _SMALL and width(drawable(context.marking), Face.SEMIBOLD, badge) > CONTENT - 28:
            badge -= 1
        spelled = texts.marking_spelled_out[request.mode]
        object.__setattr__(self, "footer", tuple(wrapped))
        object.__setattr__(self, "badge_size", badge)
        object.__setattr__(self, "spelled_out", tuple(wrap(spelled, Face.REGULAR, _SMALL + 2, CONTENT)))

    @property
    def _badge_width(self) -> int:
        return width(drawable(self.context.marking), Face.SEMIBOLD, self.badge_size) + 28

    @property
    def _beside(self) -> bool:
        """Whether the marking's meaning fits beside it."""
        beside = CONTENT - self._badge_width - 20
        return len(self.spelled_out) == 1 and width(self.spelled_out[0], Face.REGULAR, _SMALL + 2) <= beside

    @property
    def top(self) -> int:
        """Where the content begins."""
        below = 0 if self._beside else len(self.spelled_out) * line_height(_SMALL + 2) + 4
        return 14 + line_height(_BADGE) + 14 + below + 12

    @property
    def bottom(self) -> int:
        """Where the content ends; one line more than the footer's own is for the page number."""
        return self.height - 14 - (len(self.footer) + 1) * line_height(_SMALL) - 10

    @property
    def room(self) -> int:
        """Height that blocks may take."""
        return self.bottom - self.top

    def draw(self, canvas: Canvas, page: int, pages: int, cannot_draw: bool) -> None:
        """Draw head and foot."""
        self._draw_head(canvas)
        top = self.bottom + 10
        canvas.rectangle(0, self.bottom + 2, WIDTH, self.height, PANEL)
        texts = self.context.texts
        number = texts.page.format(page=page, pages=pages)
        canvas.text(MARGIN, top, number, _SMALL, TEXT, Face.SEMIBOLD, PANEL)
        if cannot_draw:
            note_width = width(drawable(texts.not_drawable), Face.REGULAR, _SMALL)
            canvas.text(WIDTH - MARGIN - note_width, top, texts.not_drawable, _SMALL, MARKING, ground=PANEL)
        else:
            study = str(self.context.identity.StudyDate)
            if len(study) == 8:
                shown = f"{texts.study_of} {study[:4]}-{study[4:6]}-{study[6:]}"
                canvas.text(
                    WIDTH - MARGIN - width(drawable(shown), Face.REGULAR, _SMALL),
                    top,
                    shown,
                    _SMALL,
                    TEXT,
                    ground=PANEL,
                )
        for line in self.footer:
            top += line_height(_SMALL)
            canvas.text(MARGIN, top, line, _SMALL, SECONDARY, ground=PANEL)

    def _draw_head(self, canvas: Canvas) -> None:
        canvas.rectangle(0, 0, WIDTH, self.top - 12, PANEL)
        height = line_height(_BADGE) + 8
        canvas.rectangle(MARGIN, 12, MARGIN + self._badge_width, 12 + height, MARKING, radius=8)
        inset = (height - line_height(self.badge_size)) // 2
        canvas.text(MARGIN + 14, 12 + inset, self.context.marking, self.badge_size, ON_MARKING, Face.SEMIBOLD, MARKING)
        if self._beside:
            left, top = MARGIN + self._badge_width + 20, 12 + (height - line_height(_SMALL + 2)) // 2
        else:
            left, top = MARGIN, 12 + height + 4
        for line in self.spelled_out:
            canvas.text(left, top, line, _SMALL + 2, MARKING, ground=PANEL)
            top += line_height(_SMALL + 2)


def break_into_pages(frame: PageFrame, blocks: Sequence[Block]) -> list[list[Block]]:
    """Blocks on as many pages as they need, at least one."""
    pages: list[list[Block]] = [[]]
    left = room = frame.room
    index = 0
    while index < len(blocks):
        group = [blocks[index]]
        while group[-1].keep_with_next and index + len(group) < len(blocks):
            group.append(blocks[index + len(group)])
        needed = sum(block.height for block in group)
        if needed > left and pages[-1]:
            pages.append([])
            left = room
            if (repeated := group[0].repeat) is not None:
                pages[-1].append(repeated)
                left -= repeated.height
        pages[-1].extend(group)
        left -= needed
        index += len(group)
    return pages


def draw_page(frame: PageFrame, blocks: Sequence[Block], page: int, pages: int) -> Canvas:
    """One page with its frame."""
    canvas = Canvas(WIDTH, frame.height)
    top = frame.top
    for block in blocks:
        block.draw(canvas, top)
        top += block.height
    frame.draw(canvas, page, pages, any(MISSING in placed.text for placed in canvas.placed))
    return canvas
