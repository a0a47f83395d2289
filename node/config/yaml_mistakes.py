"""What the parser of YAML complains of, in words that say what to write instead.

The parser says what it expected; people want to know which of the usual mistakes it was: the line is looked at again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from ruamel.yaml.error import MarkedYAMLError

_ODD_SPACES = "\u00a0\u1680\u2000-\u200b\u202f\u205f\u2060\u3000\ufeff"
_MISPLACED_SPACE = re.compile(rf"^[ ]*[{_ODD_SPACES}]|^[ ]*-[{_ODD_SPACES}]|:[{_ODD_SPACES}]|[{_ODD_SPACES}]:")
_ODD_SPACE = re.compile(f"[{_ODD_SPACES}]")
_STARTERS = "*&!%@`|>"
_QUOTED = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^']|'')*'")
_COMPARED = re.compile(r":\s*(?P<sign>>=?|<=?|!=|==?)\s*(?P<what>[^,}\]#\n]+)")
_OPERATOR = {">": "above", ">=": "at_least", "<": "below", "<=": "at_most", "=": "is", "==": "is"}
_VALUE = re.compile(r"(?P<key>[^\s:,{\[\]}][^:,{\[]*):\s+(?P<value>[^\s\"'\[{#][^\"\[{}\]]*:\s[^\"\[{}\],]*)")
_NO_SPACE = re.compile(r"^[\s-]*(?P<key>[A-Za-z_]\w*):(?P<value>[^\s/].*)$")


_STARTED = re.compile("undefined alias|scanning an? (alias|anchor|tag|directive|block scalar)|cannot start any token")


class Mistake(NamedTuple):
    """What was wrong, and where: line and column from 0."""

    line: int
    column: int
    message: str


@dataclass(frozen=True)
class _Error:
    """A complaint, with the lines that it is about."""

    said: str
    line: int
    column: int
    began: tuple[int, int]
    """Where the part began in which the parser stopped."""
    lines: list[str]

    @property
    def source(self) -> str:
        """The line where it stopped."""
        return self.lines[self.line] if self.line < len(self.lines) else ""

    @property
    def start(self) -> str:
        """The line where the part began."""
        return self.lines[self.began[0]] if self.began[0] < len(self.lines) else ""


def odd_space(lines: list[str], *, anywhere: bool) -> Mistake | None:
    """A space that is none for YAML, where it separates or indents; `anywhere`: or wherever it is outside of quotes."""
    for number, line in enumerate(lines):
        bare = _QUOTED.sub(lambda found: "x" * len(found[0]), line)
        comment = bare.find(" #")
        bare = bare if comment < 0 else bare[:comment]
        found = _MISPLACED_SPACE.search(bare) or (anywhere and _ODD_SPACE.search(bare))
        if found and (odd := _ODD_SPACE.search(bare, found.start())) and not bare.lstrip().startswith("#"):
            kind = "a no-break space" if odd[0] == "\u00a0" else "a special space"
            message = f"{kind} (U+{ord(odd[0]):04X}) is here: YAML takes only ordinary spaces; type it again"
            return Mistake(number, odd.start(), message)
    return None


def explained(error: MarkedYAMLError, lines: list[str]) -> Mistake:
    """The complaint of the parser in plain words."""
    mark = error.problem_mark
    context = error.context_mark or mark
    began = (context.line, context.column) if context else (0, 0)
    said = ", ".join(str(part) for part in (error.context, error.problem) if part)
    found = _Error(said, mark.line if mark else 0, mark.column if mark else 0, began, lines)
    for look in (_space, _tab, _comparison, _starter, _quotes, _colon, _brackets, _key, _indentation):
        if mistake := look(found):
            return mistake
    return Mistake(found.line, found.column, f"this cannot be read as YAML ({said})")


def _space(error: _Error) -> Mistake | None:
    return odd_space(error.lines, anywhere=True)


def _tab(error: _Error) -> Mistake | None:
    for number in (error.line, error.began[0]):
        line = error.lines[number] if number < len(error.lines) else ""
        indent = line[: len(line) - len(line.lstrip())]
        if "\t" in indent or re.match(r"\s*-\t", line):
            return Mistake(number, line.index("\t"), "a tab cannot indent YAML; use spaces")
    if "'\\t'" in error.said:
        return Mistake(error.line, error.column, "a tab cannot separate YAML; use a space")
    return None


def _comparison(error: _Error) -> Mistake | None:
    for number in sorted({error.line, max(0, error.line - 1), error.began[0]}):
        line = error.lines[number] if number < len(error.lines) else ""
        found = _COMPARED.search(line)
        if found and found["sign"] in _OPERATOR and found["what"].strip():
            message = f"there is no {found['sign']} here: write {{{_OPERATOR[found['sign']]}: {found['what'].strip()}}}"
            return Mistake(number, found.start("sign"), message)
    return None


def _starter(error: _Error) -> Mistake | None:
    """A text that begins with a character which means something else to YAML."""
    if not _STARTED.search(error.said):
        return None
    at_end = "undefined" in error.said or "token" in error.said
    line, column = (error.line, error.column) if at_end else error.began
    source = error.lines[line] if line < len(error.lines) else ""
    while column > 0 and source[column : column + 1] not in _STARTERS:
        column -= 1
    if source[column : column + 1] not in tuple(_STARTERS):
        return None
    text = re.match(r"[^,\]}#]*", source[column:])
    word = text[0].strip() if text else source[column]
    return Mistake(line, column, f'a text that begins with {source[column]} has to be in quotes: write "{word}"')


def _quotes(error: _Error) -> Mistake | None:
    if "quoted scalar" in error.said and "end of" in error.said:
        return Mistake(*error.began, "the quote that begins here is not closed")
    if "unknown escape" in error.said:
        message = "in double quotes a backslash needs another one before it; or write the text in single quotes: '…'"
        return Mistake(error.line, error.column, message)
    before = error.source[: error.column].rstrip()
    if before[-1:] in ("'", '"') and error.column < len(error.source):
        return Mistake(error.line, error.column, "nothing may follow the closing quote: put all of the text in quotes")
    return None


def _colon(error: _Error) -> Mistake | None:
    if "mapping values are not allowed" not in error.said:
        return None
    bare = _QUOTED.sub(lambda found: "x" * len(found[0]), error.source)
    if found := _VALUE.search(bare):
        value = error.source[found.start("value") : found.end("value")].strip()
        message = f'a text with a colon and a space in it has to be in quotes: write "{value}"'
        return Mistake(error.line, found.start("value"), message)
    return _deeper(error)


def _deeper(error: _Error) -> Mistake:
    indent = len(error.source) - len(error.source.lstrip())
    for number in range(error.line - 1, -1, -1):
        line = error.lines[number]
        if not line.strip() or len(line) - len(line.lstrip()) != indent:
            break
        if not re.search(r":(\s|$)", line):
            return _without_colon(number, line)
    message = "this line is indented further than the one before, which has a value already: begin both in one column"
    return Mistake(error.line, indent, message)


def _brackets(error: _Error) -> Mistake | None:
    if "flow" not in error.said:
        return None
    kind = "{" if "flow mapping" in error.said else "["
    where = f"line {error.began[0] + 1}"
    closing = "}" if kind == "{" else "]"
    message = f"the {kind} of {where} is not closed by {closing}, or a comma is missing before this"
    return Mistake(error.line, error.column, message)


def _key(error: _Error) -> Mistake | None:
    if "simple key" not in error.said and "expected ':'" not in error.said:
        return None
    return _without_colon(error.began[0], error.start)


def _without_colon(number: int, line: str) -> Mistake:
    if found := _NO_SPACE.match(line):
        message = f"a space is missing after the colon: write {found['key']}: {found['value'].strip()}"
        return Mistake(number, found.start("key"), message)
    start = len(line) - len(line.lstrip())
    return Mistake(number, start, f"a colon is missing: a line says key: value, this is {line.strip()!r}")


def _indentation(error: _Error) -> Mistake | None:
    if "sequence entries are not allowed" in error.said:
        message = "a list begins on a line of its own after the colon, or is written in one line as [one, two]"
        return Mistake(error.line, error.column, message)
    if "block" not in error.said:
        return None
    indent = len(error.source) - len(error.source.lstrip())
    if indent != error.column:
        return Mistake(error.line, error.column, "this does not belong here: a line holds one key: value")
    began = f"what it belongs to began in column {error.began[1] + 1} on line {error.began[0] + 1}"
    message = f"the indentation does not fit: this line begins in column {indent + 1}, and {began}"
    if indent == error.began[1]:
        message = f"lines with a dash and lines with key: value cannot stand on one level ({began})"
    return Mistake(error.line, error.column, message)
