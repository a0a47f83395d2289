"""A document that a plugin made, as Encapsulated PDF (PS3.3 A.45.1): its bytes as they are, under our marking."""

from __future__ import annotations

from pydicom import Dataset
from pydicom.uid import EncapsulatedPDFStorage

from node.results import codes as our_codes
from node.results.context import Context, complete
from node.results.source.references import request_attributes, source_images
from plugins.contract import PdfDocument

_ST = 1024


def encapsulated(context: Context, document: PdfDocument, number: int) -> Dataset:
    """The object of one document, complete but for its file meta information.

    Its pages cannot be read, so that they may name a patient is assumed (Burned In Annotation).
    """
    made = Dataset()
    made.SOPClassUID = EncapsulatedPDFStorage
    made.SOPInstanceUID = context.uids.instance(EncapsulatedPDFStorage, f"document {number}")
    made.Modality, made.ConversionType = "DOC", "WSD"
    made.AcquisitionDateTime = ""
    made.BurnedInAnnotation = "YES"
    made.SourceInstanceSequence = source_images(context.sources.images)
    made.DocumentTitle = _title(context, document)
    made.ConceptNameCodeSequence = [our_codes.DOCUMENT]
    made.VerificationFlag = "UNVERIFIED"
    made.MIMETypeOfEncapsulatedDocument = "application/pdf"
    made.EncapsulatedDocument = document.pdf + b"\0" * (len(document.pdf) % 2)
    made.EncapsulatedDocumentLength = len(document.pdf)
    if requests := request_attributes(context):
        made.RequestAttributesSequence = requests
    complete(made, context, "pdf", number)
    return made


def _title(context: Context, document: PdfDocument) -> str:
    """Marking first: a list of documents shows the beginning of it."""
    texts, request = context.texts, context.request
    said = [f"{context.marking}: {document.title}", texts.marking_spelled_out[request.mode], texts.not_verified]
    said += [texts.pseudonyms_in_document] if request.under_pseudonyms else []
    return ". ".join(each.rstrip(".") for each in said)[:_ST]
