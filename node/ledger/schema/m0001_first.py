"""Schema 0001: the first one."""

from __future__ import annotations

import uuid

from sqlite_utils import Database


def migrate(database: Database) -> None:
    """Make the first tables."""
    for statement in _FIRST.split(";"):
        if statement.strip():
            database.execute(statement)
    database.execute(_EVENTS_ARE_APPEND_ONLY)
    database.execute(_EVENTS_ARE_KEPT)
    # A new ledger (the data folder was lost) must not derive the UIDs of the old one for other contents.
    database.execute("CREATE TABLE ledger (id TEXT PRIMARY KEY) STRICT")
    database.execute("INSERT INTO ledger VALUES (?)", [uuid.uuid4().hex])


_FIRST = """
CREATE TABLE studies (
    study_instance_uid TEXT PRIMARY KEY,
    patient_id TEXT NOT NULL,
    issuer_of_patient_id TEXT NOT NULL,
    accession_number TEXT NOT NULL,
    status TEXT NOT NULL,
    revision INTEGER NOT NULL,
    decided_revision INTEGER NOT NULL,
    hold TEXT,
    first_received_at TEXT NOT NULL,
    last_received_at TEXT NOT NULL,
    last_association TEXT NOT NULL,
    due_at TEXT NOT NULL,
    completed_at TEXT
) STRICT;
CREATE INDEX studies_by_status ON studies (status, due_at);
CREATE INDEX studies_by_arrival ON studies (last_received_at);

CREATE TABLE series (
    series_instance_uid TEXT NOT NULL,
    study_instance_uid TEXT NOT NULL REFERENCES studies,
    modality TEXT NOT NULL,
    description TEXT NOT NULL,
    last_received_at TEXT NOT NULL,
    PRIMARY KEY (study_instance_uid, series_instance_uid)
) STRICT;

CREATE TABLE instances (
    receipt TEXT PRIMARY KEY,
    sop_instance_uid TEXT NOT NULL,
    sop_class_uid TEXT NOT NULL,
    study_instance_uid TEXT,
    series_instance_uid TEXT,
    transfer_syntax_uid TEXT NOT NULL,
    status TEXT NOT NULL,
    digest TEXT NOT NULL,
    comparison TEXT NOT NULL,
    marks TEXT NOT NULL,
    frames INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    calling_ae_title TEXT NOT NULL,
    called_ae_title TEXT NOT NULL,
    peer_address TEXT NOT NULL,
    association TEXT NOT NULL,
    origin TEXT NOT NULL,
    received_at TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX instances_current ON instances (sop_instance_uid) WHERE status IN ('current', 'rejected');
CREATE INDEX instances_by_sop ON instances (sop_instance_uid);
CREATE INDEX instances_by_series ON instances (study_instance_uid, series_instance_uid, status);

CREATE TABLE headers (
    receipt TEXT PRIMARY KEY REFERENCES instances,
    study_instance_uid TEXT NOT NULL,
    header BLOB NOT NULL
) STRICT;
CREATE INDEX headers_by_study ON headers (study_instance_uid);

CREATE TABLE rejections (
    sop_instance_uid TEXT NOT NULL,
    study_instance_uid TEXT NOT NULL,
    note TEXT NOT NULL REFERENCES instances,
    title TEXT NOT NULL,
    PRIMARY KEY (sop_instance_uid, note)
) STRICT;

CREATE TABLE series_facts (
    study_instance_uid TEXT NOT NULL REFERENCES studies,
    series_instance_uid TEXT NOT NULL,
    revision INTEGER NOT NULL,
    facts BLOB NOT NULL,
    PRIMARY KEY (study_instance_uid, series_instance_uid, revision)
) STRICT;

CREATE TABLE rule_sets (
    digest TEXT PRIMARY KEY,
    content TEXT NOT NULL,
    first_used_at TEXT NOT NULL
) STRICT;

CREATE TABLE decisions (
    id INTEGER PRIMARY KEY,
    study_instance_uid TEXT NOT NULL REFERENCES studies,
    revision INTEGER NOT NULL,
    rule TEXT NOT NULL,
    rule_set TEXT NOT NULL REFERENCES rule_sets,
    outcome TEXT NOT NULL,
    trace TEXT NOT NULL,
    decided_at TEXT NOT NULL,
    UNIQUE (study_instance_uid, revision, rule)
) STRICT;

CREATE TABLE jobs (
    id TEXT PRIMARY KEY,
    decision INTEGER NOT NULL REFERENCES decisions,
    study_instance_uid TEXT NOT NULL REFERENCES studies,
    revision INTEGER NOT NULL,
    rule TEXT NOT NULL,
    step TEXT NOT NULL,
    subject TEXT NOT NULL,
    inputs_digest TEXT NOT NULL,
    round INTEGER NOT NULL,
    supersedes TEXT REFERENCES jobs,
    plugin TEXT NOT NULL,
    parameters TEXT NOT NULL,
    inputs TEXT NOT NULL,
    destinations TEXT NOT NULL,
    mode TEXT NOT NULL,
    priority INTEGER NOT NULL,
    on_correction TEXT NOT NULL,
    status TEXT NOT NULL,
    outcome TEXT,
    attempts INTEGER NOT NULL,
    not_before TEXT NOT NULL,
    error TEXT,
    result TEXT,
    algorithm TEXT,
    images_complete_at TEXT NOT NULL,
    asked TEXT NOT NULL,
    created_at TEXT NOT NULL,
    started_at TEXT,
    finished_at TEXT,
    encoded_at TEXT,
    UNIQUE (study_instance_uid, rule, step, subject, inputs_digest, round)
) STRICT;
CREATE INDEX jobs_by_status ON jobs (status, priority DESC, created_at);
CREATE INDEX jobs_by_study ON jobs (study_instance_uid);

CREATE TABLE objects (
    sop_instance_uid TEXT PRIMARY KEY,
    sop_class_uid TEXT NOT NULL,
    series_instance_uid TEXT NOT NULL,
    study_instance_uid TEXT NOT NULL,
    job TEXT NOT NULL REFERENCES jobs,
    kind TEXT NOT NULL,
    profile TEXT NOT NULL,
    file TEXT NOT NULL,
    digest TEXT NOT NULL,
    made_at TEXT NOT NULL
) STRICT;
CREATE INDEX objects_by_job ON objects (job);

CREATE TABLE deliveries (
    id INTEGER PRIMARY KEY,
    sop_instance_uid TEXT NOT NULL,
    sop_class_uid TEXT NOT NULL,
    study_instance_uid TEXT NOT NULL,
    job TEXT REFERENCES jobs,
    file TEXT NOT NULL,
    destination TEXT NOT NULL,
    status TEXT NOT NULL,
    hold TEXT,
    attempts INTEGER NOT NULL,
    refusals INTEGER NOT NULL,
    not_before TEXT NOT NULL,
    dimse_status INTEGER,
    error TEXT,
    enqueued_at TEXT NOT NULL,
    sent_at TEXT,
    UNIQUE (sop_instance_uid, destination)
) STRICT;
CREATE INDEX deliveries_by_status ON deliveries (destination, status, not_before);
CREATE INDEX deliveries_by_job ON deliveries (job);
CREATE INDEX deliveries_by_study ON deliveries (study_instance_uid);

CREATE TABLE identities (
    study_instance_uid TEXT NOT NULL,
    destination TEXT NOT NULL,
    status TEXT NOT NULL,
    detail TEXT NOT NULL,
    waiting_since TEXT NOT NULL,
    checked_at TEXT,
    alerted INTEGER NOT NULL,
    PRIMARY KEY (study_instance_uid, destination)
) STRICT;

CREATE TABLE events (
    id INTEGER PRIMARY KEY,
    at TEXT NOT NULL,
    kind TEXT NOT NULL,
    severity TEXT NOT NULL,
    study_instance_uid TEXT,
    job TEXT,
    delivery INTEGER,
    detail TEXT NOT NULL
) STRICT;
CREATE INDEX events_by_study ON events (study_instance_uid, id);
CREATE INDEX events_by_severity ON events (severity, id);
"""

_EVENTS_ARE_APPEND_ONLY = """
CREATE TRIGGER events_are_append_only BEFORE UPDATE ON events
BEGIN SELECT RAISE(ABORT, 'events are append-only'); END
"""

_EVENTS_ARE_KEPT = """
CREATE TRIGGER events_are_kept BEFORE DELETE ON events
BEGIN SELECT RAISE(ABORT, 'events are append-only'); END
"""
