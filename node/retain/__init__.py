"""Retention: what is old enough and needed by nobody goes, files first, and a line of it is kept."""
