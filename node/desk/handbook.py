"""The pages of the handbook, one for each kind of alert: files of the package, so that a server has them offline."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files

from node.config.problems import closest
from node.errors import UsageError
from node.ledger.alert_kinds import AlertKind

_LINK = re.compile(r"\[([^\]]+)\]\(([^)]*)\)")
_HEADING = re.compile(r"(#{1,3}) (.*)")


@dataclass(frozen=True, slots=True)
class HandbookBlock:
    """A part of a page: `h1` to `h3`, `p`, or `pre`, whose text is as it is."""

    kind: str
    text: str

    @property
    def parts(self) -> list[tuple[bool, str]]:
        """The text without marks: whether it is code, and what it says."""
        plain = _LINK.sub(r"\1", self.text)
        return [
            (number % 2 == 1, part if number % 2 else part.replace("*", ""))
            for number, part in enumerate(plain.split("`"))
            if part
        ]


def page_of(kind: str) -> str:
    """The page in Markdown; UsageError where no alert is of this kind, with the kind that may be meant."""
    known = {each.value for each in AlertKind}
    if kind not in known:
        meant = closest(kind, known)
        hint = f'; did you mean "{meant}"?' if meant else "; pacsnode alerts shows the kinds of those that are open"
        raise UsageError(f'there is no kind of alert "{kind}"{hint}')
    return files("node").joinpath("handbook", f"{kind}.md").read_text(encoding="utf-8")


def blocks_of(kind: str) -> list[HandbookBlock]:
    """The page in parts, for a face that has no use for Markdown; UsageError."""
    return [block for part in re.split(r"\n{2,}", page_of(kind).strip()) for block in _blocks(part)]


def _blocks(part: str) -> Iterator[HandbookBlock]:
    heading = _HEADING.fullmatch(part.strip())
    if heading is not None:
        yield HandbookBlock(f"h{len(heading[1])}", heading[2])
    elif part.startswith("    "):
        yield HandbookBlock("pre", "\n".join(line.removeprefix("    ") for line in part.splitlines()))
    else:
        yield HandbookBlock("p", " ".join(part.split()))
