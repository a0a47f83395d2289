"""The rule language: pure decisions on facts; no I/O, no DICOM library, no clock of its own."""
