"""What a receiver leaves word of when it cannot write, and what `status` makes of it (case 53)."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from node.config.models import Configuration
from node.dimse.association import AssociationRejection, AssociationRequest, StoreRequest
from node.dimse.status import StoreStatus
from node.receive.service import Service, Session
from node.store.health import TROUBLE, cannot_write, trouble
from node.store.layout import DataFolder
from tests.support.dimse.raw_dimse import CT, EXPLICIT, INSTANCE, data_set

REQUEST = AssociationRequest("PACSNODE", "CT1", "127.0.0.1", "", 16384)


@pytest.fixture
def service(tmp_path: Path) -> Service:
    node = {"time_zone": "UTC", "accept": "any", "limits": {"free_space": 0}}
    return Service(Configuration.model_validate({"node": node}), DataFolder(tmp_path), None)


def _fails(*_: object) -> None:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def _store(session: Session) -> StoreStatus:
    sink = session.store(StoreRequest(CT, INSTANCE, EXPLICIT, False))
    sink.write(memoryview(data_set()))
    return sink.finish()


def test_fault_53_an_input_output_error_is_left_word_of_until_writing_works(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A700, and `status` can read why; the next object that is stored takes the word back."""
    session = service.accept(REQUEST)
    assert isinstance(session, Session)
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", _fails)
        assert _store(session) == StoreStatus.OUT_OF_RESOURCES
        assert cannot_write(service.data_folder.data) == "Input/output error"
        found = trouble(service.data_folder.data)
        assert found is not None
        assert found.reason == "cannot be written: Input/output error"
    assert _store(session) == StoreStatus.SUCCESS
    assert trouble(service.data_folder.data) is None
    assert cannot_write(service.data_folder.data) is None
    session.ended("released")
    assert [path.name for path in service.data_folder.data.iterdir() if path.is_file()] == []


def test_fault_53_an_association_that_cannot_be_noted_is_rejected_as_congested(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing raises into the engine; the reason is there for `status`."""
    monkeypatch.setattr(service.data_folder, "association", _fails)
    answer = service.accept(REQUEST)
    assert isinstance(answer, AssociationRejection)
    assert answer.code == (2, 3, 1)
    assert (service.data_folder.data / TROUBLE).exists()
