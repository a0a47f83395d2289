"""A plugin's result becomes DICOM: SR, SC pages, SEG. Start at `encode.encode`; `reader` reads SRs back."""
