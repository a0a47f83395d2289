"""The versions of the schema, for whoever only compares them with those of a ledger."""

from __future__ import annotations

SET = "pacsnode"
"""The name under which sqlite-utils keeps what a ledger has had."""
VERSIONS = (
    "0001_first",
    "0002_steps_after_steps",
    "0003_facts_line_by_line",
    "0004_commitments",
    "0005_looks",
    "0006_forwarded_images",
    "0007_fetches",
    "0008_notifications",
    "0009_what_grows",
    "0010_fallbacks",
    "0011_what_was_edited",
    "0012_silences",
    "0013_defects",
    "0014_space",
    "0015_attempts",
    "0016_alerts",
    "0017_ways",
    "0017_words",
    "0018_refused_callers",
    "0019_reindexings",
    "0020_study_ends",
    "0021_revisions",
    "0022_notifications",
    "0023_due_times",
    "0024_identity",
    "0025_keys",
    "0026_commissionings",
    "0027_retention",
    "0028_gone",
    "0029_commit_batches",
    "0030_load",
    "0031_told",
    "0032_answers",
    "0033_restorations",
    "0035_search",
    "0036_returned",
    "0038_boxes",
    "0040_job_results",
    "0041_recalls",
    "0042_stop_rules",
)
"""All that this program knows, oldest first: a line for each migration (`node.ledger.schema.migrations`)."""
