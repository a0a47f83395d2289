"""DICOM objects that a plugin returns: are they of the study and patient that it was given, and what do they say?

Read `given` (what the plugin knows), `checking` (one object), then `taking` (all objects of a result).
"""
