"""What the response to a STOW-RS request says of one object (PS3.18 10.5.3, Store Instances Response Module)."""

from __future__ import annotations

from node.deliver.policy import Answer
from node.deliver.ways import http_status
from node.dicom import web_model
from node.dicom.web_model import Attributes
from node.dimse.status import read_store_status, status_text
from node.outcome import AnswerReading
from node.web.caller import WebReply

STOW = "stow:"
"""What a destination's answer begins with, as the ledger has it, where it gave a reason: `stow:A700`."""
SYNTAX_REFUSED = f"{STOW}C122"
"""Referenced Transfer Syntax not supported (PS3.18 Table I.2-2)."""
MOST = 1 << 20
"""Bytes of a response about one object."""
_JSON = ("application/dicom+json", "application/json")
_XML = ("application/dicom+xml", "application/xml", "text/xml")


def answer_of(reply: WebReply, sop_instance_uid: str, named: str) -> Answer:
    """What became of the object.

    What the response says of this object counts more than its status. Where a success says nothing of it, whoever sent
    it has to ask: a page for people with status 200 is what a proxy answers that wants a login.
    """
    for found in _data_sets(reply):
        if (failed := _item_of(found, "FailedSOPSequence", sop_instance_uid)) is not None:
            return _failed(reply, failed, named)
        if (stored := _item_of(found, "ReferencedSOPSequence", sop_instance_uid)) is not None:
            return _stored(reply, stored)
    reading, code = http_status.read(reply.status), http_status.code(reply.status)
    said = f"{named} {http_status.said(reply.status)}"
    if reading is AnswerReading.ASK:
        said = f"{said}, and does not say what became of the object"
    return Answer(reading, said, code, reply.again_after)


def _data_sets(reply: WebReply) -> list[Attributes]:
    if reply.body is None:
        return []
    try:
        if reply.content_type in _JSON:
            return web_model.from_json(reply.body)
        if reply.content_type in _XML:
            return web_model.from_xml(reply.body)
    except ValueError:
        return []
    return []


def _item_of(found: Attributes, sequence: str, sop_instance_uid: str) -> Attributes | None:
    """The item about this object."""
    for item in web_model.items(found, sequence):
        if web_model.text(item, "ReferencedSOPInstanceUID").strip(" \0") == sop_instance_uid:
            return item
    return None


def _failed(reply: WebReply, item: Attributes, named: str) -> Answer:
    reason = web_model.number(item, "FailureReason")
    if reason is None:
        reading = http_status.read(reply.status)
        reading = AnswerReading.RETRY_FEW if reading is AnswerReading.ASK else reading
        return Answer(reading, f"{named} did not store it, and does not say why", http_status.code(reply.status))
    reading = read_store_status(reason)
    if reading in (AnswerReading.STORED, AnswerReading.STORED_WITH_WARNING):  # a success among the failures
        reading = AnswerReading.ASK
    return Answer(
        reading,
        f"{named} did not store it: failure reason {status_text(reason)}",
        f"{STOW}{status_text(reason)}",
        reply.again_after,
    )


def _stored(reply: WebReply, item: Attributes) -> Answer:
    warning = web_model.number(item, "WarningReason")
    if not warning:
        return Answer(AnswerReading.STORED, "stored", http_status.code(reply.status))
    return Answer(
        AnswerReading.STORED_WITH_WARNING,
        f"stored, with warning {status_text(warning)}",
        f"{STOW}{status_text(warning)}",
    )
