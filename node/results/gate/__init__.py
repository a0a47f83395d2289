"""The gate: every object is judged before it may leave."""
