"""Durable state: one module per aggregate, each the only way to its rows."""
