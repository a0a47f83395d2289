"""The site's own files and images: who may read them, what ends soon, and names that were not decoded."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from node.config.models import Configuration
from node.config.problems import Problem
from node.desk import certificates
from node.desk.doctor.finding import Diagnosis, DoctorFinding
from node.ledger import instances, studies
from node.ledger.connection import Database

_STUDIES = 1000
_NAMED = 20
"""Studies whose senders are looked up."""
_NOT_DECODED = "�"
"""REPLACEMENT CHARACTER: in place of bytes that fit no character of the declared set."""


def configuration_warnings(warnings: Sequence[Problem]) -> Iterator[DoctorFinding]:
    """What is right, and hardly what was meant."""
    for each in warnings:
        yield DoctorFinding("configuration", Diagnosis.DOUBTFUL, each.headline, "`pacsnode check` shows the place.")


def validity(configuration: Configuration, now: datetime) -> Iterator[DoctorFinding]:
    """Certificates and lists of revoked ones."""
    found = list(certificates.reminders(configuration, now))
    for key, severity, text in found:
        diagnosis = Diagnosis.WRONG if severity == "alert" else Diagnosis.DOUBTFUL
        yield DoctorFinding(
            "certificates", diagnosis, f"{key}: {text}", "Renew it; the node takes up the new file by itself."
        )
    if not found:
        yield DoctorFinding("certificates", Diagnosis.GOOD, "none that is configured ends within 30 days")


def permissions(configuration: Configuration) -> DoctorFinding:
    """Whether others can look into the data folder, and whether its owner is who asks."""
    data = configuration.node.data
    try:
        found = data.stat()
    except OSError as error:
        return DoctorFinding("permissions", Diagnosis.NOT_SEEN, f"{data}: {error.strerror}")
    mode = stat.S_IMODE(found.st_mode)
    if mode & stat.S_IRWXO and _leads_there(data):
        return DoctorFinding(
            "permissions",
            Diagnosis.WRONG,
            f"every user of this machine can look into {data} (mode {mode:04o}), where patients' images are",
            f"chmod o-rwx {data}",
        )
    if os.geteuid() not in (0, found.st_uid):
        said = f"{data} is of user {found.st_uid}; you are {os.geteuid()}"
        return DoctorFinding("permissions", Diagnosis.DOUBTFUL, said, "Run this as the user that the node runs as.")
    return DoctorFinding("permissions", Diagnosis.GOOD, f"{data} is closed to other users")


def _leads_there(folder: Path) -> bool:
    """Whether every folder above lets others through."""
    return all(each.stat().st_mode & stat.S_IXOTH for each in folder.resolve().parents)


def character_sets(database: Database) -> DoctorFinding:
    """Whether names of the last studies could be decoded; the name itself is not shown."""
    garbled = [each for each in studies.latest(database, _STUDIES) if _NOT_DECODED in each.patient_name]
    if not garbled:
        return DoctorFinding(
            "character sets", Diagnosis.GOOD, f"every name of the last {_STUDIES:,} studies was decoded"
        )
    senders = sorted(
        {title for each in garbled[:_NAMED] for title, _, _ in instances.sources(database, each.study_instance_uid)}
    )
    return DoctorFinding(
        "character sets",
        Diagnosis.DOUBTFUL,
        f"names of {len(garbled)} of the last {_STUDIES:,} studies are not in the character set that they declare;"
        f" sent by {', '.join(senders)}",
        "Say under modalities what it really writes, as in character_set: ISO 2022 IR 149.",
    )
