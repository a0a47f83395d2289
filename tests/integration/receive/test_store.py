"""C-STORE against the real receiver process: what is accepted, what arrives, what is answered."""

from __future__ import annotations

import os
import select
import struct
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.misc import is_dicom

from node.dicom.part10 import kind_of
from node.dicom.uids import is_acceptable_uid
from node.dimse.scu import Peer, echo, probe
from node.dimse.storage_scu import StorageSCU, send
from node.outcome import AnswerReading
from node.store.arrival import read_arrival
from tests.support.dimse.raw_dimse import (
    COMMAND_LAST,
    CT,
    DATA,
    DATA_LAST,
    EXPLICIT,
    IMPLICIT,
    INSTANCE,
    RawPeer,
    command,
    data_set,
    p_data,
    pixels,
    store_rq,
)
from tests.support.images.files_to_send import content_of, has_uids, manifest, small_real_file
from tests.support.programs.peers import dcmtk, storescu
from tests.support.shared_data import shared_data
from tests.support.sites.receiver import Receiver, data_set_of
from tests.support.wait import until

JPEG_EXTENDED, JPEG_BASELINE, JPIP = "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.94"
PRIVATE = "1.3.12.2.1107.5.9.1"
RETIRED_US = "1.2.840.10008.5.1.4.1.1.6"


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    with Receiver(tmp_path_factory.mktemp("receiver"), node={"durability": "os"}) as running:
        yield running


@pytest.fixture
def peer(receiver: Receiver) -> Iterator[RawPeer]:
    with RawPeer(receiver.connect()) as raw:
        yield raw


def us(receiver: Receiver) -> Peer:
    return Peer("127.0.0.1", receiver.port, "PACSNODE", "MODALITY", 20)


def accepted(body: bytes) -> dict[int, tuple[int, str]]:
    """Result and transfer syntax of each presentation context of an A-ASSOCIATE-AC (PS3.8 9.3.3)."""
    contexts, position = {}, 68
    while position < len(body):
        kind, length = struct.unpack_from(">BxH", body, position)
        item = body[position + 4 : position + 4 + length]
        if kind == 0x21:
            contexts[item[0]] = (item[2], item[8:].decode())
        position += 4 + length
    return contexts


def test_transfer_syntax_of_each_context(peer: RawPeer) -> None:
    """Lossless where there is a choice, also for a private SOP class; lossy alone is taken; JPIP is refused."""
    body = peer.associate(
        contexts={
            1: (CT, [JPEG_EXTENDED, EXPLICIT]),
            3: (PRIVATE, [JPEG_EXTENDED, EXPLICIT]),
            5: (CT, [IMPLICIT]),
            7: (RETIRED_US, [JPEG_BASELINE]),
            9: (CT, [JPIP]),
            11: ("1.2.840.10008.5.1.4.31", [IMPLICIT]),
        }
    )
    results = accepted(body)
    assert [results[number] for number in (1, 3, 5, 7)] == [
        (0, EXPLICIT),
        (0, EXPLICIT),
        (0, IMPLICIT),
        (0, JPEG_BASELINE),
    ]
    assert results[9][0] == 4  # transfer syntaxes not supported
    assert results[11][0] == 3  # abstract syntax not supported


def test_how_it_arrived_stands_in_the_file(receiver: Receiver, peer: RawPeer) -> None:
    """AE titles, address, association and that only lossy was offered; the preamble is ours."""
    peer.associate(calling=b"US 7", contexts={1: (RETIRED_US, [JPEG_BASELINE])})
    content = data_set(sop_class=RETIRED_US)
    assert peer.store(content, store_rq(RETIRED_US)) == 0
    path = receiver.received()[-1]
    arrival, _ = read_arrival(path)
    assert (arrival.calling_ae_title, arrival.called_ae_title, arrival.peer_address) == (
        "US 7",
        "PACSNODE",
        "127.0.0.1",
    )
    assert (arrival.sop_class_uid, arrival.sop_instance_uid) == (RETIRED_US, INSTANCE)
    assert (arrival.transfer_syntax_uid, arrival.lossy_accepted, arrival.origin) == (JPEG_BASELINE, True, "received")
    assert arrival.association in receiver.data_folder.open_associations()
    assert path.read_bytes()[:132] == bytes(128) + b"DICM"
    assert path.stat().st_mode & 0o777 == 0o600
    peer.release()
    until(receiver.idle, what="the association to end")


def test_an_object_in_flight_can_be_seen(receiver: Receiver, peer: RawPeer) -> None:
    """Its association and its study, so that the study is not taken for complete."""
    peer.associate()
    peer.send(p_data(1, COMMAND_LAST, store_rq()) + p_data(1, DATA, data_set(study="1.2.77", tail=pixels(100)[:50])))

    def studies() -> list[str | None]:
        return [each.study_instance_uid for each in receiver.data_folder.in_flight()]

    until(lambda: studies() == ["1.2.77"], what="the object and its study to be seen")
    peer.send(p_data(1, DATA_LAST, pixels(100)[50:]))
    assert peer.status() == 0
    assert receiver.data_folder.in_flight() == []


def test_the_node_is_woken_by_a_byte(receiver: Receiver, peer: RawPeer) -> None:
    """After each stored object; a full pipe stops nothing."""
    while receiver_has_bytes(receiver):
        os.read(receiver.wake, 65536)
    peer.associate()
    assert peer.store(data_set()) == 0
    until(lambda: receiver_has_bytes(receiver), what="a byte on the wake pipe")


def receiver_has_bytes(receiver: Receiver) -> bool:
    return bool(select.select([receiver.wake], [], [], 0)[0])


STATUSES: list[tuple[str, bytes, dict[str, Any], int]] = [
    ("fault_29_empty", store_rq(sop_instance=""), {}, 0xC000),
    ("fault_29_too_long", store_rq(sop_instance="1" * 65), {}, 0xC000),
    ("fault_29_path", store_rq(sop_instance="../../../tmp/x"), {"sop_instance": "../../../tmp/x"}, 0xC000),
    ("fault_29_absolute", store_rq(sop_instance="/etc/passwd"), {"sop_instance": "/etc/passwd"}, 0xC000),
    ("fault_29_inner_nul", store_rq(sop_instance="1.2\0.3"), {"sop_instance": "1.2\0.3"}, 0xC000),
    ("fault_28_shell", store_rq(sop_instance="1;touch /tmp/x"), {"sop_instance": "1;touch /tmp/x"}, 0xC000),
    ("fault_29_trailing_space", store_rq(sop_instance=f"{INSTANCE} "), {}, 0x0000),
    ("fault_29_leading_zero", store_rq(sop_instance="1.02.3"), {"sop_instance": "1.02.3"}, 0x0000),
    ("fault_30_other_instance", store_rq(sop_instance="1.2.3"), {}, 0xA900),
    ("fault_30_other_class", store_rq(sop_class="1.2.840.10008.5.1.4.1.1.4"), {}, 0xA900),
    ("fault_31_no_study", store_rq(), {"study": None}, 0xA900),
    ("fault_31_no_series", store_rq(), {"series": None}, 0xA900),
    ("fault_31_no_class", store_rq(), {"sop_class": None}, 0xA900),
    ("fault_31_no_instance", store_rq(), {"sop_instance": None}, 0xA900),
    ("fault_31_empty_study", store_rq(), {"study": ""}, 0xA900),
]


@pytest.mark.parametrize(
    ("request_", "content", "status"), [case[1:] for case in STATUSES], ids=[case[0] for case in STATUSES]
)
def test_faults_28_29_30_31_have_their_status(
    receiver: Receiver, peer: RawPeer, request_: bytes, content: dict[str, Any], status: int
) -> None:
    """And only what is promised is kept; the association goes on."""
    before = len(receiver.received())
    peer.associate()
    assert peer.store(data_set(**content), request_) == status
    assert len(receiver.received()) == before + (status == 0)
    assert receiver.parts() == []
    assert peer.store(data_set()) == 0
    peer.release()


def test_a_request_without_a_data_set_is_a_mismatch(receiver: Receiver, peer: RawPeer) -> None:
    """Command Data Set Type says that none follows: there is nothing to keep."""
    peer.associate()
    empty = command(0x0001, e0002=CT, e0110=1, e0700=0, e1000=INSTANCE, e0800=0x0101)
    peer.send(p_data(1, COMMAND_LAST, empty))
    assert peer.status() == 0xA900
    assert receiver.parts() == []


def test_fault_29_no_name_comes_from_the_wire(receiver: Receiver) -> None:
    """Every file is named by the node: 32 hexadecimal digits."""
    until(receiver.idle)
    names = [path.name for path in receiver.data_folder.incoming.iterdir()]
    assert names
    assert all(len(name) == 36 and set(name[:32]) <= set("0123456789abcdef") for name in names)


def test_c_echo(receiver: Receiver) -> None:
    """By pynetdicom and by dcmtk."""
    echo(us(receiver))
    echoed = subprocess.run([dcmtk("echoscu"), "-aec", "PACSNODE", "127.0.0.1", str(receiver.port)], timeout=60)
    assert echoed.returncode == 0


def test_probe_sees_what_is_accepted(receiver: Receiver) -> None:
    """A storage class with its syntaxes, a worklist with none."""
    found = probe(us(receiver), [CT, "1.2.840.10008.5.1.4.31"], [EXPLICIT, JPEG_BASELINE, JPIP])
    assert found == {CT: (EXPLICIT, JPEG_BASELINE), "1.2.840.10008.5.1.4.31": ()}


def test_an_object_of_a_private_sop_class_is_stored(receiver: Receiver, tmp_path: Path) -> None:
    """Sent as a file by our own SCU."""
    content = dcmread(str(get_testdata_file("CT_small.dcm")))
    content.SOPClassUID = content.file_meta.MediaStorageSOPClassUID = PRIVATE  # type: ignore[assignment]
    content.save_as(tmp_path / "private.dcm")
    with StorageSCU(us(receiver), [kind_of(tmp_path / "private.dcm")]) as scu:
        assert scu.store(tmp_path / "private.dcm").reading is AnswerReading.STORED
    assert data_set_of(receiver.received()[-1]) == content_of(tmp_path / "private.dcm")


@pytest.mark.filterwarnings("ignore")
def test_every_real_file_arrives_byte_for_byte(receiver: Receiver) -> None:
    """Whatever its transfer syntax: the data set on our disk is the one in the file.

    Files whose header and data set disagree, or that lack a UID, are refused with A900 and leave nothing; so are, with
    C000 or by our own SCU, two whose SOP Instance UID is none.
    """
    root = shared_data()
    paths = [root / row["path"] for row in manifest(root) if row["storable"] == "yes" and row["transfer_syntax"]]
    paths = [path for path in paths if is_dicom(path)]
    before = receiver.received()
    sent = [(path, outcome) for path, outcome in send(us(receiver), paths)]
    assert sorted(path for path, _ in sent) == sorted(paths)
    arrived = receiver.received()[len(before) :]
    stored = [path for path, outcome in sent if outcome.reading is AnswerReading.STORED]
    refused = {path: outcome for path, outcome in sent if outcome.reading is not AnswerReading.STORED}
    no_uid = {path for path in paths if not is_acceptable_uid(dcmread(path, stop_before_pixels=True).SOPInstanceUID)}
    assert no_uid <= set(refused)
    others = {path: refused[path] for path in refused if path not in no_uid}
    assert {path: outcome.text for path, outcome in others.items() if outcome.status != 0xA900} == {}
    assert [path for path in others if has_uids(path)] == []
    assert len(stored) > 1400
    # `content_of` finds nothing where the file meta information does not say its length.
    pairs = [(source, copy) for source, copy in zip(stored, arrived, strict=True) if content_of(source)]
    changed = [(source, copy) for source, copy in pairs if data_set_of(copy) != content_of(source)]
    assert len(changed) < 10
    for source, copy in changed:  # of odd length, which our SCU makes even (PS3.5 7.1.1)
        assert data_set_of(copy) == content_of(source) + b"\0", source


TRANSFER_SYNTAX_OPTIONS = {
    "1.2.840.10008.1.2": "-xi",
    "1.2.840.10008.1.2.1": "-xe",
    "1.2.840.10008.1.2.2": "-xb",
    "1.2.840.10008.1.2.1.99": "-xd",
    "1.2.840.10008.1.2.4.50": "-xy",
    "1.2.840.10008.1.2.4.51": "-xx",
    "1.2.840.10008.1.2.4.70": "-xs",
    "1.2.840.10008.1.2.4.80": "-xt",
    "1.2.840.10008.1.2.4.81": "-xu",
    "1.2.840.10008.1.2.4.90": "-xv",
    "1.2.840.10008.1.2.4.91": "-xw",
    "1.2.840.10008.1.2.5": "-xr",
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("option", TRANSFER_SYNTAX_OPTIONS.values())
def test_dcmtk_sends_in_each_transfer_syntax(receiver: Receiver, option: str) -> None:
    """One object as storescu sends it: every element is there, the pixels are the bytes that they were."""
    syntax = next(uid for uid, each in TRANSFER_SYNTAX_OPTIONS.items() if each == option)
    source = small_real_file(syntax)
    sent = storescu(receiver.port, [source], "PACSNODE", options=("-R", option))
    assert sent.returncode == 0, sent.stderr
    copy = receiver.received()[-1]
    arrived = read_arrival(copy)[0].transfer_syntax_uid
    assert arrived == (syntax if syntax != "1.2.840.10008.1.2.2" else arrived)
    if arrived == syntax:
        assert dcmread(copy).PixelData == dcmread(source).PixelData
        assert {each.tag for each in dcmread(source) if each.tag.element and each.tag != 0xFFFCFFFC} <= {
            each.tag for each in dcmread(copy)
        }


def test_four_senders_at_once(receiver: Receiver) -> None:
    """Nothing is mixed up, lost or written twice."""
    before = len(receiver.received())
    failures: list[BaseException] = []

    def send_20(number: int) -> None:
        try:
            with RawPeer(receiver.connect()) as sender:
                sender.associate(calling=f"SENDER{number}".encode())
                for item in range(20):
                    uid = f"1.2.{number + 1}.{item}"
                    content = data_set(sop_instance=uid, tail=pixels(30000 + 2 * number))
                    assert sender.store(content, store_rq(sop_instance=uid)) == 0
                sender.release()
        except BaseException as error:  # noqa: BLE001 - shown by the assertion below, in the test's own thread
            failures.append(error)

    threads = [threading.Thread(target=send_20, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert failures == []
    arrivals = [read_arrival(path)[0] for path in receiver.received()[before:]]
    assert len(arrivals) == 80
    assert all(a.sop_instance_uid.split(".")[2] == str(int(a.calling_ae_title[-1]) + 1) for a in arrivals)


def test_an_association_that_stays_open_is_shown_and_one_that_ends_is_not(receiver: Receiver) -> None:
    """The indexer reads completion from this."""
    until(receiver.idle, what="earlier associations to end")
    with RawPeer(receiver.connect()) as sender:
        sender.associate()
        assert len(receiver.data_folder.open_associations()) == 1
        sender.release()
        until(lambda: not receiver.data_folder.open_associations(), what="the association to end")
