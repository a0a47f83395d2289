"""PDF documents of plugins, distrusted: what could do more than be looked at is refused by name.

A PDF may hold scripts, start programs, send forms and carry files, and it is opened on a hospital's desktop. It is
searched twice, because readers of PDF files disagree about which objects there are. Once as its cross-reference
table has it, with object streams opened, by pypdf; once as its bytes have it, every stream unpacked that could hold
objects, which finds also what no table names. It is never rendered. That happens in a child process, because the parser
may be what is attacked. Links to pages and to the web stay: a click on one starts nothing by itself.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from io import BytesIO

from pypdf import PdfReader
from pypdf.errors import PyPdfError
from pypdf.generic import ArrayObject, DictionaryObject, NameObject, PdfObject

_FORBIDDEN = {
    "JavaScript": "JavaScript",
    "JS": "JavaScript",
    "Launch": "an action that starts a program (Launch)",
    "EmbeddedFile": "an attached file (EmbeddedFile)",
    "EmbeddedFiles": "an attached file (EmbeddedFiles)",
    "FileAttachment": "an attached file (FileAttachment)",
    "EF": "an attached file (EF)",
    "RichMedia": "rich media",
    "Rendition": "media that play by themselves (Rendition)",
    "Movie": "a movie",
    "Sound": "a sound",
    "3D": "a 3D scene",
    "XFA": "a form with scripts (XFA)",
    "SubmitForm": "an action that sends data (SubmitForm)",
    "ImportData": "an action that imports data (ImportData)",
    "GoToR": "a link into another file (GoToR)",
    "GoToE": "a link into an attached file (GoToE)",
    "Encrypt": "a password (Encrypt), so that nobody can see what it holds",
}
"""Name in a PDF (ISO 32000-1, 7.3.5) → what it means, in words."""
_NAME = re.compile(rb"/((?:[^\s()<>\[\]{}/%#\x00]|#[0-9A-Fa-f]{2}){1,127})")
_ESCAPE = re.compile(rb"#([0-9A-Fa-f]{2})")
_STREAM = re.compile(rb"\bstream\r?\n")
_END_OF_STREAM = b"endstream"
_MOST_OBJECTS = 200_000
_MOST_UNPACKED = 64 * 2**20
"""Bytes of one stream: what unpacks to more is refused."""


def problem_of(pdf: bytes) -> str:
    """Why a document is refused, in words; empty where nothing is wrong with it."""
    try:
        if found := _forbidden(_names_in_bytes(pdf)):
            return found
        reader = PdfReader(BytesIO(pdf), strict=False)
        return _forbidden(_names(reader)) or ("" if len(reader.pages) else "has no page: refused")
    except _TooMuchError as error:
        return f"{error}: refused"
    except (PyPdfError, ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError, OSError):
        return "cannot be read as a PDF file: refused"


def _forbidden(names: Iterator[str]) -> str:
    found = next((word for name in names if (word := _FORBIDDEN.get(name))), "")
    return f"holds {found}: refused" if found else ""


class _TooMuchError(Exception):
    """It has more than a document has, or hides what it has."""


def _names(reader: PdfReader) -> Iterator[str]:
    """Every name in every object that the cross-reference table knows."""
    numbers = {number for table in reader.xref.values() for number in table} | set(reader.xref_objStm)
    if len(numbers) > _MOST_OBJECTS:
        raise _TooMuchError(f"has more than {_MOST_OBJECTS} objects")
    yield from _within(reader.trailer)
    for number in numbers:
        found = reader.get_object(number)
        if found is not None:
            yield from _within(found)


def _within(item: PdfObject) -> Iterator[str]:
    """Names in an object, which refers to others by number: these are looked at by themselves."""
    waiting: list[object] = [item]
    seen = 0
    while waiting:
        each = waiting.pop()
        seen += 1
        if seen > _MOST_OBJECTS:
            raise _TooMuchError("has an object that holds too much")
        if isinstance(each, NameObject):
            yield str(each).lstrip("/")
        elif isinstance(each, DictionaryObject):
            yield from (str(key).lstrip("/") for key in each)
            waiting += map(each.raw_get, each)
        elif isinstance(each, ArrayObject):
            waiting += list.__iter__(each)


def _names_in_bytes(pdf: bytes) -> Iterator[str]:
    """Every name in the bytes between streams, and in every stream that holds objects, wherever it is."""
    position = 0
    for begin in _STREAM.finditer(pdf):
        if begin.start() < position:
            continue  # it is in a stream
        head = pdf[position : begin.start()]
        yield from _names_of(head)
        end = pdf.find(_END_OF_STREAM, begin.end())
        position = end if end >= 0 else len(pdf)
        if b"ObjStm" in head or b"#" in head:  # a name may be written with escapes
            yield from _names_of(_unpacked(head, pdf[begin.end() : position]))
    yield from _names_of(pdf[position:])


def _names_of(content: bytes) -> Iterator[str]:
    for name in _NAME.findall(content):
        yield _ESCAPE.sub(lambda escaped: bytes([int(escaped[1], 16)]), name).decode("latin-1")


def _unpacked(head: bytes, content: bytes) -> bytes:
    """What a stream of objects holds; `_TooMuchError` where it is packed as no program packs these."""
    unusual = _TooMuchError("holds objects that are packed in an unusual way")
    if b"ObjStm" in head and (b"Predictor" in head or b"DecodeParms" in head):
        raise unusual
    inflater = zlib.decompressobj()
    try:
        found = inflater.decompress(content, _MOST_UNPACKED)
    except zlib.error:
        if b"ObjStm" in head and b"Filter" in head:
            raise unusual from None
        return content
    if inflater.unconsumed_tail:
        raise _TooMuchError(f"has a stream that unpacks to more than {_MOST_UNPACKED // 2**20} MiB")
    return found
