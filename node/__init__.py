"""pacsnode: a hospital DICOM node with AI routing.

Read in the order in which a study travels: `receive` (C-STORE to a file on disk), `index` (files to
rows; when a study is complete), `route` (facts against rules), `run` (plugins in their own
processes), `results` (what they said, as DICOM), `deliver` (to the PACS, until it has it).
The stages meet in `ledger` and never import each other; `app` alone knows them all. What a stage is
and what it is given: `stage`.
What people see and do is `desk`; `cli` is its face on a terminal.
"Case 57" in a comment or a test is that line of docs/reliability.md.
"""

__version__ = "0.2.0"
