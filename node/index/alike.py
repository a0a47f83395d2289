"""Do two receipts of one SOP instance differ in substance, or in form only? Runs in a child process.

A PACS that forwards may write names in capitals, other character sets, lengths and decimals, private attributes of its
own, a byte or two behind the pixels. None of that is another patient or another image. Asked only where the digests of
`fingerprint` differ, because both files are read for it.
"""

from __future__ import annotations

import mmap
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydicom.datadict import tag_for_keyword

from node.dicom.elements import PIXELS, Contents, Elements, RawElement
from node.dicom.values import Converter, Header
from node.index import pixels
from node.index.compare import OTHER
from node.index.fingerprint import rest_of
from node.index.header import SenderTerms, parse_dataset
from node.ledger.rows import to_json
from node.store.arrival import read_arrival

PIXEL_DATA = "PixelData"
_MOST_PADDING = 2
"""Bytes behind native pixels that belong to none of them."""
_ORIGINAL_ATTRIBUTES = 0x04000561
_REPLACED = "\ufffd"


@dataclass(frozen=True, slots=True)
class _Receipt:
    contents: Contents
    header: Header
    converter: Converter


def differing_in_form(one: Path, other: Path, keywords: Sequence[str], terms: SenderTerms) -> list[str]:
    """Those of `keywords` (of attributes, or `OTHER`) that mean the same in both files. Raises OSError."""
    first, second = _read(one, terms), _read(other, terms)
    return [keyword for keyword in keywords if _alike(keyword, first, second)]


def _read(path: Path, terms: SenderTerms) -> _Receipt:
    arrival, offset = read_arrival(path)
    with path.open("rb") as file:
        whole = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    contents = parse_dataset(whole[offset:], arrival.transfer_syntax_uid)
    converter = Converter(contents.little, terms.character_sets.get(arrival.calling_ae_title.strip(), ""))
    return _Receipt(contents, converter.header(contents.elements), converter)


def _alike(keyword: str, one: _Receipt, other: _Receipt) -> bool:
    if keyword == PIXEL_DATA:
        return _same_pixels(one, other)
    tag = tag_for_keyword(keyword) or 0
    raw = [each.contents.elements.get(tag) for each in (one, other)]
    if keyword == OTHER or any(each is not None and isinstance(each.value, list) for each in raw):
        return _content(one, keyword) == _content(other, keyword)
    elements = [each.header.get(keyword, ["", []]) for each in (one, other)]
    values = [to_json(plain(*element[:2])) for element in elements]
    if any(element[2:] for element in elements) or any(_REPLACED in value for value in values):
        found = [_bytes(each) for each in raw]  # what was not kept, or could not be decoded, is compared as it is
        return found[0] is not None and found[0] == found[1]
    return values[0] == values[1]


def _bytes(raw: RawElement | None) -> bytes | None:
    return bytes(raw.value).rstrip(b" \0") if raw is not None and not isinstance(raw.value, list) else None


# --- values ---------------------------------------------------------------------------------------


def plain(vr: str, values: Sequence[Any]) -> list[Any]:
    """The values of an attribute in the form in which equal ones are equal."""
    return [same for value in values if (same := _plain_value(vr, value)) not in ("", None)]


def _plain_value(vr: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    text = " ".join(unicodedata.normalize("NFC", value).split())
    if vr == "PN":
        groups = (re.sub(r" ?\^ ?", "^", group).rstrip("^ ") for group in text.upper().split("="))
        return "=".join(groups).rstrip("=")
    if vr in ("CS", "AS"):
        return text.upper()
    if vr == "DA":
        return re.sub(r"(\d{4})[.-](\d{2})[.-](\d{2})", r"\1\2\3", text)
    if vr == "TM":
        return re.sub(r"\.\d*$", "", text.replace(":", ""))
    return text


# --- all the rest, and functional groups ------------------------------------------------------------


def _content(receipt: _Receipt, keyword: str) -> list[Any]:
    labels = receipt.converter.labels_of(receipt.contents.elements, [""])
    if keyword == OTHER:
        left = rest_of(receipt.contents.elements)
        left.pop(_ORIGINAL_ATTRIBUTES, None)
        return list(_elements(receipt.converter, left, labels))
    raw = receipt.contents.elements.get(tag_for_keyword(keyword) or 0)
    items = raw.value if raw is not None and isinstance(raw.value, list) else []
    return [list(_elements(receipt.converter, item, labels)) for item in items]


def _elements(converter: Converter, elements: Elements, labels: list[str]) -> Iterator[tuple[int, Any]]:
    """The public elements that have a value, by tag: texts decoded, decimals as numbers, everything else as bytes."""
    labels = converter.labels_of(elements, labels)
    for tag, vr, raw, values in converter.decoded(elements, labels):
        if isinstance(raw.value, list):
            items = [item for each in raw.value if (item := list(_elements(converter, each, labels)))]
            if items:
                yield tag, items
        elif values is not None and not any(isinstance(each, str) and _REPLACED in each for each in values):
            if same := plain(vr, values):
                yield tag, same
        elif content := bytes(raw.value).rstrip(b" \0"):
            yield tag, content


# --- pixels -----------------------------------------------------------------------------------------


def _same_pixels(one: _Receipt, other: _Receipt) -> bool:
    """Native pixels that are equal as far as the header promises them, with no more than padding behind."""
    if one.contents.little != other.contents.little:
        return False
    parts = [_native(each) for each in (one, other)]
    return None not in parts and parts[0] == parts[1]


def _native(receipt: _Receipt) -> memoryview | None:
    contents = receipt.contents
    raw = next((contents.elements[tag] for tag in PIXELS if tag in contents.elements), None)
    if raw is None or isinstance(raw.value, list) or contents.fragments is not None:
        return None
    promised = pixels.promised_bytes(contents, receipt.header)
    return raw.value[:promised] if 0 < promised <= len(raw.value) <= promised + _MOST_PADDING else None
