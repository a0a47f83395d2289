"""Encapsulated PDF as other makers' software sees it: the very bytes, under the marking, for who asks for them."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pypdf import PdfWriter

from node.config.encoding import EncodingProfile
from node.results.encode import encode
from plugins.contract import PdfDocument
from tests.support.programs.validators import dcentvfy, dciodvfy
from tests.support.results import reports

PROFILE = EncodingProfile.model_validate({"kinds": ["sr", "sc", "pdf"]})


def pdf(pages: int) -> bytes:
    writer, buffer = PdfWriter(), BytesIO()
    for _ in range(pages):
        writer.add_blank_page(200, 200)
    writer.write(buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("source", ["ct", "dx", "us", "private"])
def test_documents_are_encapsulated_as_they_are(tmp_path: Path, source: str) -> None:
    """dciodvfy finds no error; bytes, title, marking, sources and patient are right, one object a document."""
    paths = reports.write_series(source, tmp_path / "in")
    given = (PdfDocument(pdf(1), "Lung density"), PdfDocument(pdf(2), "Method"))
    request = reports.request(paths, replace(reports.measured(), documents=given), profile=PROFILE)
    made = encode(replace(request, under_pseudonyms=True), tmp_path / "out")
    assert made.reasons == ()
    files = [one.path for one in made if one.kind == "pdf"]
    assert len(files) == 2
    for path, document in zip(files, given, strict=True):
        read = dcmread(path)
        assert read.EncapsulatedDocument[: read.EncapsulatedDocumentLength] == document.pdf
        assert read.DocumentTitle.startswith(f"AI-INV {reports.ALGORITHM.name}: {document.title}. Investigational")
        assert "pseudonym" in read.DocumentTitle
        assert (read.VerificationFlag, read.BurnedInAnnotation) == ("UNVERIFIED", "YES")
        assert read.ConceptNameCodeSequence[0].CodeMeaning == "Document of AI software, not verified"
        assert str(read.PatientID) == str(dcmread(paths[0]).PatientID)
        assert len(read.SourceInstanceSequence) == len(paths)
        assert dciodvfy(path) == []
    assert dcentvfy([*files, *paths]) == []


def test_nobody_gets_documents_who_does_not_ask_for_them(tmp_path: Path) -> None:
    """By default a document stays here."""
    paths = reports.write_series("ct", tmp_path / "in")
    made = encode(
        reports.request(paths, replace(reports.measured(), documents=(PdfDocument(pdf(1), "x"),))), tmp_path / "out"
    )
    assert "pdf" not in {one.kind for one in made}
