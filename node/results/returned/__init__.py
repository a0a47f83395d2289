"""DICOM objects that a plugin returned, on their way to a destination.

`describing` reads what they are, `marking` makes them objects of this node, `sending` writes those of one set.
"""
