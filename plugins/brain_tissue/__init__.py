"""Grey and white matter of a T1-weighted brain MR, by a network that others have trained: a proof for pilots."""
