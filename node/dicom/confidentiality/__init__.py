"""Data sets without the identity of the patient: PS3.15 Annex E, its table as data and its options as a value.

Read `table`, then `profile`, `dataset` and `part10`. `key` has what the pseudonyms are derived from.
"""
