"""Plugins whose folders hold NIfTI: their images written, and their masks, maps and tables read, in child processes.

`handing_over` comes before the program, `reading` after it; both work by the mapping of its manifest
(`plugins.nifti_mapping`), and neither knows how the program is started.
"""
