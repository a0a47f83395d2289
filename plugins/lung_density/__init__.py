"""Lung densitometry on chest CT without contrast: a reference implementation for pilots."""
