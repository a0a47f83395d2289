"""What a receipt counts as, checked against all that is known already. Reads the ledger, writes nothing.

Files are decoded here where two compressions of one image have to be compared, so none of this runs
within a transaction. The indexer is the only writer of instances: what is read here still holds when
the batch is recorded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from node import ourselves
from node.index.children import HeaderReader
from node.index.compare import OTHER, RepeatComparison, RepeatKind, compare, is_other_patient, needs_decoding
from node.index.header import HeaderReading
from node.index.returned import GoneStudies
from node.ledger import box_answers, boxes, facts, instances, objects, returned_objects
from node.ledger.instances import Instance, InstanceStatus
from node.stage import Node
from node.store import device

_COUNTS = (InstanceStatus.CURRENT, InstanceStatus.REJECTED)
_STATUS = {
    RepeatKind.DUPLICATE: InstanceStatus.DUPLICATE,
    RepeatKind.CORRECTION: InstanceStatus.CORRECTION,
    RepeatKind.CONFLICT: InstanceStatus.CONFLICT,
}
_MOST_NAMED = 20


@dataclass(frozen=True, slots=True)
class Judgement:
    """One reading, what it counts as, and why."""

    reading: HeaderReading
    status: InstanceStatus
    differences: tuple[str, ...] = ()
    """Keywords of the attributes in which it differs from what came first; never their values."""


@dataclass(frozen=True, slots=True)
class _Witness:
    """An instance that a study's others are compared with."""

    receipt: str
    comparison: Mapping[str, Any]


class Judge:
    """Judges the readings of one batch, in order of arrival; a SOP Instance UID comes once in a batch."""

    def __init__(self, node: Node, reader: HeaderReader) -> None:
        self._ledger = node.ledger
        self._data_folder = node.store
        self._reader = reader
        self._serial_number = device.serial_number(node.store.data)
        self._witnesses: dict[str, _Witness | None] = {}
        self.gone = GoneStudies(node.ledger.database)

    def judge(self, reading: HeaderReading) -> Judgement:
        """See the module; what is current here may still be found rejected when it is recorded."""
        known = instances.of_sop_instance(self._ledger.database, reading.sop_instance_uid)
        earlier = [one for one in known if not self.gone.is_going(one.study_instance_uid, one.receipt)]
        if any(_is_identical(one, reading) for one in earlier):
            return Judgement(reading, InstanceStatus.DUPLICATE)
        if reading.unreadable:
            return Judgement(reading, InstanceStatus.UNREADABLE)
        if self._is_ours(reading):
            return Judgement(reading, InstanceStatus.OWN)
        if self._is_answer(reading):
            return Judgement(reading, InstanceStatus.ANSWER)
        current = next((one for one in earlier if one.status in _COUNTS), None)
        if current is not None:
            return self._against(current, earlier, reading)
        if differences := self.gone.differences(reading):
            return Judgement(reading, InstanceStatus.CORRECTION, tuple(differences))
        return self._as_new(reading)

    def _is_ours(self, reading: HeaderReading) -> bool:
        """By what it says of its maker, and by its UIDs: of an object that was made here, or returned by a plugin."""
        database = self._ledger.database
        uids = reading.sop_instance_uid, reading.sop_class_uid, reading.series_instance_uid or ""
        said = ourselves.is_ours(reading.makers, self._serial_number)
        return said or objects.is_ours(database, *uids) or returned_objects.is_known(database, *uids)

    def _is_answer(self, reading: HeaderReading) -> bool:
        """Whether a vendor's box made it: by who sends it, by its UID, or by its series, found in an archive."""
        database = self._ledger.database
        if reading.from_box or box_answers.is_answer(database, reading.sop_instance_uid):
            return True
        return boxes.of_series(database, reading.series_instance_uid) is not None

    def _against(self, current: Instance, earlier: Sequence[Instance], reading: HeaderReading) -> Judgement:
        found = self._compare(current, reading)
        if found.verdict is RepeatKind.CORRECTION:
            pending = [one for one in earlier if one.status is InstanceStatus.CORRECTION]
            if pending and self._compare(pending[-1], reading).verdict is RepeatKind.DUPLICATE:
                return Judgement(reading, InstanceStatus.DUPLICATE)
        return Judgement(reading, _STATUS[found.verdict], self._named(found.differences, current, reading))

    def _compare(self, known: Instance, reading: HeaderReading) -> RepeatComparison:
        equal = None
        if needs_decoding(known.comparison, reading.comparison):
            equal = self._same_pixels(known.receipt, reading.receipt)
        found = compare(known.comparison, reading.comparison, equal)
        if found.verdict is RepeatKind.DUPLICATE:
            return found
        in_form = self._in_form(known.receipt, reading.receipt, found.differences)
        return compare(known.comparison, reading.comparison, equal, in_form)

    def _in_form(self, known: str, new: str, differences: Sequence[str]) -> Sequence[str]:
        """Those of the differences that change no meaning: the case of a name, padding, another character set."""
        try:
            return self._reader.differing_in_form(
                self._data_folder.find(known), self._data_folder.find(new), differences
            )
        except FileNotFoundError:
            return ()  # it has been purged: as with pixels

    def _same_pixels(self, known: str, new: str) -> bool | None:
        try:
            return self._reader.same_pixels(self._data_folder.find(known), self._data_folder.find(new))
        except FileNotFoundError:
            return None  # the earlier file has been purged: what cannot be shown to be equal counts as different

    def _named(self, differences: tuple[str, ...], current: Instance, reading: HeaderReading) -> tuple[str, ...]:
        """The differences, those of other attributes by keyword as far as headers were kept."""
        if OTHER not in differences or current.study_instance_uid is None:
            return differences
        kept = facts.header_of(self._ledger.database, current.study_instance_uid, current.receipt)
        if kept is None:
            return differences
        keywords = [name for name in {**kept, **reading.header} if _kept(kept, name) != _kept(reading.header, name)]
        others = [name for name in sorted(keywords) if not name.startswith("(") and name not in differences]
        named = [name for name in differences if name != OTHER] + others[:_MOST_NAMED]
        return tuple(named) if others else differences

    def _as_new(self, reading: HeaderReading) -> Judgement:
        study = reading.study_instance_uid
        witness = self._witness(study)
        other = self._other_patient(witness, reading) if witness else self.gone.other_patient(reading)
        if not other and (witness is None or not witness.comparison["patient"].get("PatientID")):
            self._witnesses[study] = _Witness(reading.receipt, reading.comparison)
        if not other:
            return Judgement(reading, InstanceStatus.CURRENT)
        if self._belongs_to_correction(study, reading):
            return Judgement(reading, InstanceStatus.CORRECTION, tuple(other))
        return Judgement(reading, InstanceStatus.CONFLICT, tuple(other))

    def _other_patient(self, witness: _Witness, reading: HeaderReading) -> list[str]:
        """Why it is of another patient than the study; empty where it may be of the same."""
        if not (found := is_other_patient(witness.comparison, reading.comparison)):
            return []
        in_form = self._in_form(witness.receipt, reading.receipt, found)
        return is_other_patient(witness.comparison, reading.comparison, in_form)

    def _witness(self, study: str) -> _Witness | None:
        """An instance that says which patient the study belongs to."""
        if study not in self._witnesses:
            found = instances.witness(self._ledger.database, study)
            if found is not None and self.gone.is_going(study, found.receipt):
                found = None
            self._witnesses[study] = _Witness(found.receipt, found.comparison) if found else None
        return self._witnesses[study]

    def _belongs_to_correction(self, study: str, reading: HeaderReading) -> bool:
        """A new instance of a study that is just being corrected, under its corrected patient."""
        pending = instances.of_study(self._ledger.database, study, [InstanceStatus.CORRECTION])
        return bool(pending) and not is_other_patient(pending[-1].comparison, reading.comparison)


def _is_identical(known: Instance, reading: HeaderReading) -> bool:
    return known.digest == reading.digest and known.transfer_syntax_uid == reading.arrival.transfer_syntax_uid


def _kept(header: facts.Header, name: str) -> object:
    """What is kept of an attribute; None where nothing is."""
    element = header.get(name, ())
    return element[:2] if element and (element[1] or len(element) == 2) else None
