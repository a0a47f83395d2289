"""Segmentations, parametric maps and presentation states."""
