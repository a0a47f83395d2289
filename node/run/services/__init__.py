"""Attempts at web services: submitted, asked about without a thread or a slot of their own, and ended by an answer."""
