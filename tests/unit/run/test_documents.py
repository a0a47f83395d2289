"""PDF documents of plugins: an honest one is taken, and what could do more than be looked at is refused by name."""

from __future__ import annotations

import zlib
from io import BytesIO

import pytest
from pypdf import PdfWriter
from pypdf.generic import DictionaryObject, NameObject, TextStringObject

from node.run.documents import problem_of
from plugins.contract import ContractError, PdfDocument


def pdf(writer: PdfWriter | None = None) -> bytes:
    """One of a page, written by pypdf."""
    writer = writer or PdfWriter()
    if not writer.pages:
        writer.add_blank_page(200, 200)
    buffer = BytesIO()
    writer.write(buffer)
    return buffer.getvalue()


OBJECTS = b"/Type/ObjStm/N 1/First 4/Filter/FlateDecode"


def by_hand(catalogue: bytes = b"", more: bytes = b"") -> bytes:
    """One whose objects a test writes itself; `more` is in no table."""
    made, places = b"%PDF-1.7\n", []
    for number, content in enumerate(
        (
            b"<</Type/Catalog/Pages 2 0 R" + catalogue + b">>",
            b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]>>",
        ),
        start=1,
    ):
        places.append(len(made))
        made += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    made += more
    rows = b"".join(b"%010d 00000 n \n" % place for place in places)
    table = b"xref\n0 4\n0000000000 65535 f \n" + rows + b"trailer\n<</Root 1 0 R/Size 4>>\n"
    return made + table + b"startxref\n%d\n%%%%EOF\n" % len(made)


def packed(objects: bytes, head: bytes = OBJECTS, *, deflate: bool = True) -> bytes:
    """A stream of objects that no table names."""
    content = zlib.compress(objects) if deflate else objects
    return b"9 0 obj\n<<" + head + b">>\nstream\n" + content + b"\nendstream\nendobj\n"


def with_action(action: dict[str, str]) -> bytes:
    writer = PdfWriter()
    writer.add_blank_page(200, 200)
    made = DictionaryObject({NameObject(key): NameObject(value) for key, value in action.items()})
    writer._root_object[NameObject("/OpenAction")] = made
    return pdf(writer)


def _with_script() -> bytes:
    writer = PdfWriter()
    writer.add_blank_page(200, 200)
    script = {NameObject("/S"): NameObject("/JavaScript"), NameObject("/JS"): TextStringObject("app.alert(1)")}
    writer._root_object[NameObject("/OpenAction")] = DictionaryObject(script)
    return pdf(writer)


def _with_file() -> bytes:
    writer = PdfWriter()
    writer.add_blank_page(200, 200)
    writer.add_attachment("a.exe", b"MZ")
    return pdf(writer)


def _with_password() -> bytes:
    writer = PdfWriter()
    writer.add_blank_page(200, 200)
    writer.encrypt("secret", algorithm="RC4-128")
    return pdf(writer)


def test_an_honest_document_is_taken() -> None:
    """With a title, an outline, and a page to open first."""
    writer = PdfWriter()
    page = writer.add_blank_page(200, 200)
    writer.add_metadata({"/Title": "Lung density"})
    writer.add_outline_item(title="First", page_number=0)
    writer._root_object[NameObject("/Lang")] = TextStringObject("en")
    assert page is not None
    assert problem_of(pdf(writer)) == ""
    assert problem_of(by_hand()) == ""
    assert problem_of(by_hand(b"/OpenAction[3 0 R/Fit]")) == ""


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (_with_script(), "JavaScript"),
        (_with_file(), "EmbeddedFile"),
        (_with_password(), "Encrypt"),
        (with_action({"/S": "/Launch"}), "Launch"),
        (with_action({"/S": "/SubmitForm"}), "SubmitForm"),
        (by_hand(b"/OpenAction<</S/Java#53cript/J#53(app)>>"), "JavaScript"),
        (by_hand(more=packed(b"7 0 <</S/JavaScript/JS(x)>>")), "JavaScript"),
        (by_hand(more=packed(b"7 0 <</S/Launch>>", b"/Type/Obj#53tm/N 1/First 4/Filter/FlateDecode")), "Launch"),
        (by_hand(more=packed(b"7 0 <</S/Launch>>", b"/Type/ObjStm/N 1/First 4", deflate=False)), "Launch"),
        (by_hand(more=packed(b"41", b"/Type/ObjStm/Filter/ASCIIHexDecode", deflate=False)), "unusual"),
        (by_hand(more=packed(bytes(65 * 2**20))), "unpacks to more"),
        (b"%PDF-1.7\nnothing\n%%EOF", "cannot be read"),
    ],
)
def test_what_could_do_more_than_be_looked_at_is_refused(content: bytes, what: str) -> None:
    """By name, also where it is written with escapes, in object streams, or in no table."""
    assert what in problem_of(content)
    assert problem_of(content).endswith("refused")


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"MZ" + pdf(), "begin"),
        (pdf()[:-20], "end"),
        (pdf() + b"PK\x03\x04", "end"),
        (b"%PDF-" + bytes(2**25) + b"%%EOF", "32 MiB"),
    ],
)
def test_an_author_sees_at_once_what_is_no_document(content: bytes, what: str) -> None:
    """`PdfDocument` itself says what is wrong."""
    with pytest.raises(ContractError, match=what):
        PdfDocument(content, "Report")
