"""Receipts → rows: duplicates, corrections, conflicts, rejection notes, loops; and when a study is complete."""
