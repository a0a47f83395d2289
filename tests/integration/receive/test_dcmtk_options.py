"""dcmtk's senders with each of their options that a peer sees: what they send arrives as they send it, byte for byte.

Their transfer syntaxes one by one are in test_store (compressed) and test_interoperability (video, real files), their
TLS in test_access. What they sent, where they made it themselves, is known from dcmtk's own receiver.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from copy import deepcopy
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import UID

from node.store.arrival import read_arrival
from tests.support.images.files_to_send import content_of, plain, small_real_file
from tests.support.programs.peers import dcmtk, storescu
from tests.support.programs.storescp import StoreSCP
from tests.support.sites.receiver import Receiver, data_set_of
from tests.support.wait import until

DEFLATED, JPEG = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4."
EXPLICIT, IMPLICIT, RLE = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.5"


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    with Receiver(tmp_path_factory.mktemp("receiver"), node={"durability": "os"}) as running:
        yield running


@pytest.fixture(scope="module")
def witness(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreSCP]:
    """Takes every transfer syntax that is proposed in a context of its own."""
    with StoreSCP(tmp_path_factory.mktemp("any") / "witness") as running:
        yield running


@pytest.fixture(scope="module")
def uncompressed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreSCP]:
    """Chooses Explicit VR Little Endian, as the node does, where a context leaves a choice."""
    with StoreSCP(tmp_path_factory.mktemp("explicit") / "witness", options=("+xe",)) as running:
        yield running


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return plain(tmp_path_factory.mktemp("files"), 2)


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stands for a Kerberos ticket, a SAML assertion or a JSON Web Token: the node reads none."""
    path = tmp_path_factory.mktemp("token") / "token"
    path.write_bytes(b"abc.def.ghi")
    return path


def arrived(receiver: Receiver, before: int) -> list[bytes]:
    """The data sets that came since there were `before`, in an order of their own."""
    return sorted(data_set_of(copy) for copy in receiver.received()[before:])


def seen(witness: StoreSCP) -> list[bytes]:
    """The data sets that the witness has got, which forgets them."""
    found = sorted(content for _, content in witness.data_sets().values())
    for path in witness.folder.iterdir():
        path.unlink()
    return found


def syntaxes(receiver: Receiver, before: int) -> set[str]:
    return {read_arrival(copy)[0].transfer_syntax_uid for copy in receiver.received()[before:]}


# --- storescu ----------------------------------------------------------------------------------------

# Each without -R, too: up to 128 contexts are proposed then, for every storage SOP class that dcmtk knows.
PROPOSED = ["-x=", "-xe", "-xb", "-xi", "-xs", "-xy", "-xx", "-xv", "-xw", "-xt", "-xu", "-xr", "-xd"]
ALSO: list[list[str]] = [
    [],
    ["-R", "+C"],
    *(["-R", "-xd", "+cl", level] for level in ("0", "1", "9")),
    ["-R", "+u"],
    ["-R", "-u"],
    *(["-R", size, length] for size in ("-pdu", "--max-send-pdu") for length in ("4096", "65536", "131072")),
    ["-R", "-to", "90", "-ts", "90", "-ta", "90", "-td", "90"],
    ["-R", "-nh", "-up"],
    ["-R", "-usr", "ann"],
    ["-R", "-usr", "ann", "-pwd", "secret"],
    ["-R", "-usr", "ann", "-epw"],
    *(["-R", kind, "TOKEN"] for kind in ("-kt", "--saml", "--jwt")),
]


@pytest.mark.parametrize("options", [*([option] for option in PROPOSED), *ALSO], ids=" ".join)
def test_storescu(
    receiver: Receiver, witness: StoreSCP, files: list[Path], token: Path, options: Sequence[str]
) -> None:
    """The node gets from it what dcmtk's own receiver gets."""
    before = len(receiver.received())
    options = [str(token) if option == "TOKEN" else option for option in options]
    for port in (receiver.port, witness.port):
        sent = storescu(port, files, "PACSNODE", options=options)
        assert sent.returncode == 0, sent.stderr
    assert arrived(receiver, before) == seen(witness) != []


@pytest.mark.parametrize(
    ("option", "syntax"), [("-xb", EXPLICIT), ("-xd", DEFLATED), ("-xs", EXPLICIT), ("-xi", IMPLICIT)]
)
@pytest.mark.filterwarnings("ignore")
def test_storescu_leaves_the_choice_within_a_context(
    receiver: Receiver, uncompressed: StoreSCP, option: str, syntax: str
) -> None:
    """`+C` puts all transfer syntaxes into one context: an uncompressed one is chosen, and sent, of what can be."""
    before, path = len(receiver.received()), small_real_file(syntax)
    for port in (receiver.port, uncompressed.port):
        sent = storescu(port, [path], "PACSNODE", options=("-R", "+C", option))
        assert sent.returncode == 0, sent.stderr
    assert arrived(receiver, before) == seen(uncompressed) != []
    assert syntaxes(receiver, before) <= {EXPLICIT, IMPLICIT}


@pytest.mark.filterwarnings("ignore")
def test_storescu_that_cannot_send_what_it_left_to_choose(receiver: Receiver, files: list[Path]) -> None:
    """It proposes JPEG and uncompressed in one context, and cannot decompress: it says so, and nothing is half here."""
    before, path = len(receiver.received()), small_real_file(f"{JPEG}70")
    sent = storescu(receiver.port, [path], "PACSNODE", options=("-R", "+C", "-xs"))
    assert sent.returncode != 0
    assert "unable to convert" in sent.stderr
    assert storescu(receiver.port, files, "PACSNODE").returncode == 0
    assert arrived(receiver, before) == sorted(map(content_of, files))
    until(lambda: receiver.idle() and not receiver.parts(), what="the associations to end")


PROFILES = """
[[TransferSyntaxes]]
[Uncompressed]
TransferSyntax1 = LittleEndianExplicit
TransferSyntax2 = BigEndianExplicit
TransferSyntax3 = LittleEndianImplicit
[Implicit]
TransferSyntax1 = LittleEndianImplicit
[Deflated]
TransferSyntax1 = DeflatedLittleEndianExplicit
[Lossless]
TransferSyntax1 = JPEGLossless:Non-hierarchical-1stOrderPrediction
[[PresentationContexts]]
[Uncompressed]
PresentationContext1 = CTImageStorage\\Uncompressed
[Implicit]
PresentationContext1 = CTImageStorage\\Implicit
[Deflated]
PresentationContext1 = CTImageStorage\\Deflated
[Several]
PresentationContext1 = CTImageStorage\\Lossless
PresentationContext2 = MRImageStorage\\Uncompressed
PresentationContext3 = CTImageStorage\\Implicit
PresentationContext4 = CTImageStorage\\Uncompressed
[[SCPSCURoleSelection]]
[Both]
Role1 = CTImageStorage\\BOTH
[User]
Role1 = CTImageStorage\\SCU
[[ExtendedNegotiation]]
[Level]
ExtendedNegotiation1 = CTImageStorage\\020000010000
[[Profiles]]
[Uncompressed]
PresentationContexts = Uncompressed
[Implicit]
PresentationContexts = Implicit
[Deflated]
PresentationContexts = Deflated
[Several]
PresentationContexts = Several
[BothRoles]
PresentationContexts = Uncompressed
SCPSCURoleSelection = Both
[UserRole]
PresentationContexts = Uncompressed
SCPSCURoleSelection = User
[Extended]
PresentationContexts = Uncompressed
ExtendedNegotiation = Level
"""
"""One for each kind of thing that dcmtk's association negotiation profiles can say (its asconfig.txt)."""
NEGOTIATED = {
    "UNCOMPRESSED": EXPLICIT,
    "IMPLICIT": IMPLICIT,
    "DEFLATED": DEFLATED,
    "SEVERAL": EXPLICIT,
    "BOTHROLES": EXPLICIT,
    "USERROLE": EXPLICIT,
    "EXTENDED": EXPLICIT,
}


@pytest.mark.parametrize("profile", NEGOTIATED)
def test_storescu_with_a_profile(
    receiver: Receiver, witness: StoreSCP, files: list[Path], tmp_path: Path, profile: str
) -> None:
    """`-xf`: contexts by a file, several for one SOP class, roles, and SOP class extended negotiation (PS3.4 B.3.1)."""
    configuration = tmp_path / "profiles.cfg"
    configuration.write_text(PROFILES)
    before = len(receiver.received())
    for port in (receiver.port, witness.port):
        sent = storescu(port, files, "PACSNODE", options=("-xf", str(configuration), profile))
        assert sent.returncode == 0, sent.stderr
    assert arrived(receiver, before) == seen(witness) != []
    assert syntaxes(receiver, before) == {NEGOTIATED[profile]}


@pytest.mark.parametrize("syntax", [EXPLICIT, f"{JPEG}50", f"{JPEG}70"])
@pytest.mark.filterwarnings("ignore")
def test_storescu_with_the_profile_that_debian_installs(receiver: Receiver, witness: StoreSCP, syntax: str) -> None:
    """86 contexts, for most classes of images one with JPEG Lossless, one with JPEG Baseline and one uncompressed."""
    configuration = Path("/etc/dcmtk/storescu.cfg")
    if not configuration.exists():
        pytest.skip(f"no {configuration}")
    before, path = len(receiver.received()), small_real_file(syntax)
    for port in (receiver.port, witness.port):
        sent = storescu(port, [path], "PACSNODE", options=("-xf", str(configuration), "Default"))
        assert sent.returncode == 0, sent.stderr
    assert arrived(receiver, before) == seen(witness) != []
    assert syntaxes(receiver, before) == {syntax}


INVENTED = {"+II": (1, 1, 1), "+IR": (2, 1, 1), "+IS": (2, 2, 1), "+IP": (2, 2, 2)}
"""How many series, studies and patients two objects are in then, a new one of each being asked for after one."""


@pytest.mark.parametrize("option", INVENTED)
def test_storescu_invents(receiver: Receiver, files: list[Path], option: str) -> None:
    """New UIDs, new patients, each time that it repeats: four objects, in all else as they were."""
    before = len(receiver.received())
    steps = {"+II": [], "+IR": ["+IR", "1"], "+IS": ["+IR", "1", "+IS", "1"]}
    options = [*steps.get(option, ["+IR", "1", "+IS", "1", "+IP", "1"]), "+II"]
    sent = storescu(receiver.port, files, "PACSNODE", options=("-R", "--repeat", "2", *options))
    assert sent.returncode == 0, sent.stderr
    copies = [dcmread(copy) for copy in receiver.received()[before:]]
    assert len({copy.SOPInstanceUID for copy in copies}) == len(copies) == 4
    first = copies[:2]
    counted = [len({copy[name].value for copy in first}) for name in ("SeriesInstanceUID", "StudyInstanceUID")]
    assert (*counted, len({copy.PatientID for copy in first})) == INVENTED[option]
    invented = ["SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "PatientID", "PatientName", "StudyID"]
    invented += ["SeriesNumber", "InstanceNumber"]
    assert [_without(copy, invented) for copy in first] == [_without(dcmread(path), invented) for path in files]


def _without(dataset: Dataset, keywords: Sequence[str]) -> Dataset:
    for keyword in keywords:
        dataset.pop(keyword, None)
    return Dataset({element.tag: element for element in deepcopy(dataset)})


def test_storescu_repeats(receiver: Receiver, files: list[Path]) -> None:
    """Three times on one association: each time all of it is taken; the indexer finds the duplicates."""
    before = len(receiver.received())
    assert storescu(receiver.port, files, "PACSNODE", options=("-R", "--repeat", "3")).returncode == 0
    assert arrived(receiver, before) == sorted([content_of(path) for path in files] * 3)


def test_storescu_aborts(receiver: Receiver, files: list[Path]) -> None:
    """Instead of a release: what was answered for is here, and the log says how it ended."""
    until(receiver.idle, what="earlier associations to end")
    before, ended = len(receiver.received()), len(receiver.events("receive.association-ended"))
    assert storescu(receiver.port, files, "PACSNODE", options=("-R", "--abort")).returncode == 0
    assert arrived(receiver, before) == sorted(content_of(path) for path in files)
    [end] = until(lambda: receiver.events("receive.association-ended")[ended:], what="the end to be logged")
    assert end["how"].startswith("aborted")


@pytest.mark.parametrize("options", [["-usr", "ann", "-pwd", "secret"], ["-usr", "ann", "-epw"]], ids=" ".join)
def test_storescu_that_wants_to_hear_that_its_user_is_known(
    receiver: Receiver, files: list[Path], options: list[str]
) -> None:
    """`-rsp`: no user identity is judged here, so no positive response is given (PS3.7 D.3.3.7): it sends nothing."""
    before = len(receiver.received())
    sent = storescu(receiver.port, files, "PACSNODE", options=("-R", *options, "-rsp"))
    assert sent.returncode != 0
    assert "Positive response requested but none received" in sent.stderr
    until(receiver.idle, what="the association to end")
    assert receiver.received()[before:] == []


def test_storescu_sends_data_sets_without_meta_information(
    receiver: Receiver, files: list[Path], tmp_path: Path
) -> None:
    """`-f`: files that hold nothing but a data set, as it goes over the wire."""
    before = len(receiver.received())
    raw = tmp_path / "raw"
    raw.write_bytes(content_of(files[0]))
    assert storescu(receiver.port, [raw], "PACSNODE", options=("-R", "-f")).returncode == 0
    assert arrived(receiver, before) == [content_of(files[0])]


@pytest.mark.parametrize("options", [[], ["-up"]], ids=["as it is", "corrected"])
def test_storescu_sends_a_uid_that_is_padded_by_a_space(
    receiver: Receiver, witness: StoreSCP, tmp_path: Path, options: list[str]
) -> None:
    """With and without `-up`, what is announced and what is in the data set belong together: it is taken."""
    before, [path] = len(receiver.received()), plain(tmp_path)
    path.write_bytes(path.read_bytes().replace(b"1.2.88.1.0", b"1.2.88.11 "))
    for port in (receiver.port, witness.port):
        sent = storescu(port, [path], "PACSNODE", options=("-R", *options))
        assert sent.returncode == 0, sent.stderr
    assert arrived(receiver, before) == seen(witness) != []


# --- dcmsend -----------------------------------------------------------------------------------------


def dcmsend(port: int, paths: Sequence[Path], *options: str) -> subprocess.CompletedProcess[str]:
    """Send files by dcmtk's dcmsend, and return how that ended."""
    command = [dcmtk("dcmsend"), *options, "-aec", "PACSNODE", "127.0.0.1", str(port), *map(str, paths)]
    environment = {**os.environ, "TCP_NODELAY": "1"}
    return subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=120, env=environment)


LOSSLESS = {EXPLICIT, IMPLICIT, DEFLATED, RLE, f"{JPEG}70", f"{JPEG}80"}
LOSSY = {f"{JPEG}50", f"{JPEG}51", f"{JPEG}81"}
UNREADABLE = {f"{JPEG}90", f"{JPEG}91"}
"""JPEG 2000, which dcmtk does not decompress."""


@pytest.mark.parametrize("syntax", sorted(LOSSLESS | LOSSY | UNREADABLE))
@pytest.mark.parametrize("option", ["-dn", "+dls", "+dly"])
@pytest.mark.filterwarnings("ignore")
def test_dcmsend_decompresses_as_it_is_told(
    receiver: Receiver, witness: StoreSCP, uncompressed: StoreSCP, syntax: str, option: str
) -> None:
    """Never, what is lossless, or all that it can: it leaves the choice to the node then, which takes uncompressed."""
    decompressed = {"-dn": set(), "+dls": LOSSLESS, "+dly": LOSSLESS | LOSSY}[option]
    before, path = len(receiver.received()), small_real_file(syntax)
    other = uncompressed if syntax in decompressed | {EXPLICIT, IMPLICIT} else witness
    for port in (receiver.port, other.port):
        sent = dcmsend(port, [path], option)
        assert sent.returncode == 0, sent.stderr
    assert arrived(receiver, before) == seen(other) != []
    assert syntaxes(receiver, before) == {EXPLICIT if other is uncompressed else syntax}


@pytest.mark.parametrize("associations", ["+ma", "-ma"])
@pytest.mark.parametrize("decompress", ["-dn", "+dls"])
@pytest.mark.filterwarnings("ignore")
def test_dcmsend_sends_many_kinds_at_once(
    receiver: Receiver, files: list[Path], associations: str, decompress: str
) -> None:
    """Fourteen objects in twelve transfer syntaxes: in one association or in several, all of them arrive, once."""
    until(receiver.idle, what="earlier associations to end")
    before, ended = len(receiver.received()), len(receiver.events("receive.association-ended"))
    paths = [*files, *(small_real_file(syntax) for syntax in sorted(LOSSLESS | LOSSY | UNREADABLE))]
    sent = dcmsend(receiver.port, paths, associations, decompress)
    assert sent.returncode == 0, sent.stderr
    copies = [str(read_arrival(copy)[0].sop_instance_uid) for copy in receiver.received()[before:]]
    assert sorted(copies) == sorted(str(dcmread(path, stop_before_pixels=True).SOPInstanceUID) for path in paths)
    assert set(map(content_of, files)) <= set(arrived(receiver, before))
    until(receiver.idle, what="the associations to end")
    ends = until(lambda: receiver.events("receive.association-ended")[ended:], what="the ends to be logged")
    assert {end["how"] for end in ends} == {"released"}


@pytest.mark.parametrize(
    "options",
    [["-nip"], ["-nh"], ["+f"], ["+cl", "9"], ["-to", "90", "-ta", "90", "-td", "90"], ["--max-pdu", "4096"]],
    ids=" ".join,
)
def test_dcmsend_with_what_changes_nothing_for_plain_objects(
    receiver: Receiver, files: list[Path], options: list[str]
) -> None:
    """They arrive as they are in the files."""
    before = len(receiver.received())
    sent = dcmsend(receiver.port, files, *options)
    assert sent.returncode == 0, sent.stderr
    assert arrived(receiver, before) == sorted(map(content_of, files))


def test_dcmsend_sends_what_a_dicomdir_names(receiver: Receiver, files: list[Path], tmp_path: Path) -> None:
    """`+rd`: from a medium, by its directory."""
    before = len(receiver.received())
    for number, path in enumerate(files):
        (tmp_path / f"IM{number}").write_bytes(path.read_bytes())
    made = [dcmtk("dcmmkdir"), "+id", str(tmp_path), "+D", str(tmp_path / "DICOMDIR"), "-Pgp", "+I", "IM0", "IM1"]
    done = subprocess.run(made, capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert done.returncode == 0, done.stderr
    sent = dcmsend(receiver.port, [tmp_path / "DICOMDIR"], "+rd")
    assert sent.returncode == 0, sent.stderr
    assert arrived(receiver, before) == sorted(map(content_of, files))


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_dcmsend_does_not_check_a_uid_and_the_node_does(receiver: Receiver, files: list[Path], tmp_path: Path) -> None:
    """`-nuc` sends what has no UID that is one: the node refuses that object alone (C000), and takes the others."""
    before = len(receiver.received())
    wrong = dcmread(files[0])
    wrong.SOPInstanceUID = wrong.file_meta.MediaStorageSOPInstanceUID = UID("1.2.88.wrong")
    wrong.save_as(tmp_path / "wrong.dcm")
    report = tmp_path / "report"
    sent = dcmsend(receiver.port, [tmp_path / "wrong.dcm", files[1]], "-nuc", "-nh", "+crf", str(report))
    assert "1.2.88.wrong" in report.read_text(), sent.stderr
    assert "0xc000" in report.read_text().lower()
    assert arrived(receiver, before) == [content_of(files[1])]
