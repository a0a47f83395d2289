"""How the images that a plugin was given call their study and patient, and the way from pseudonyms back to that."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from node.dicom.confidentiality import dates
from node.dicom.confidentiality.key import Key
from node.dicom.confidentiality.mapped_back import WayBack

_DAY = 8
"""Characters of a day in DA and DT."""


@dataclass(frozen=True, slots=True)
class GivenIdentity:
    """What an object of a plugin may say of whose it is."""

    study_uids: frozenset[str] = frozenset()
    """Of the study, as the plugin knows it and as it is; not of earlier studies that it was given."""
    patient_ids: frozenset[str] = frozenset()
    """As the plugin knows it and as it is."""
    patient_names: frozenset[str] = frozenset()
    """Empty where the plugin was not given any: what it writes then says nothing."""
    way_back: WayBack = field(default_factory=WayBack)
    issuers: frozenset[str] = frozenset()
    """Of the Patient ID: two hospitals have the same numbers. Empty where the plugin was not given any."""


def as_given(
    study: str,
    patient_ids: Iterable[str],
    names: Iterable[str],
    headers: Iterable[Mapping[str, Any]],
    key: Key | None,
    named: Iterable[str] = (),
    issuers: Iterable[str] = (),
) -> GivenIdentity:
    """Of the study with these headers; `key`: for the pseudonyms, None where the images were given as received.

    `headers`: `{keyword: [VR, [values]]}`, as the ledger keeps them; `named`: the true UIDs that the request names.
    """
    ids = frozenset(each for each in patient_ids if each)
    if key is None:
        return GivenIdentity(frozenset({study}), ids, frozenset(names), issuers=frozenset(issuers) - {""})
    uids, days = {study, *named}, set[str]()
    for header in headers:
        for vr, value in _values(header):
            if vr == "UI":
                uids.add(value)
            elif vr in ("DA", "DT"):
                days.add(value[:_DAY])
    back = WayBack(
        {key.uid(uid): uid for uid in uids if key.uid(uid) != uid},
        {moved: day for day in days if (moved := dates.moved("DA", day, key.days))},
        {key.patient: next(iter(sorted(ids)), "")} if ids else {},
    )
    return GivenIdentity(frozenset({study, key.uid(study)}), ids | {key.patient}, way_back=back)


def _values(header: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """VR and text of each UID and date, at every depth."""
    for vr, values, *_ in header.values():
        for value in values:
            if vr == "SQ" and isinstance(value, Mapping):
                yield from _values(value)
            elif isinstance(value, str) and vr in ("UI", "DA", "DT"):
                yield vr, value
