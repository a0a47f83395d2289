"""Structured reports read back into the result model."""
