"""DICOM networking below the stages: status table, presentation contexts, wire format, engine, SCU."""
