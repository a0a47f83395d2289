"""DICOM without a network: text, values, elements and transfer syntaxes, below the stages."""
