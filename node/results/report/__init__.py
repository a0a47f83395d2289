"""Structured reports and key object selections."""
