"""Backups of a data folder, restoring one, and the proof that a data folder or a backup is whole."""
