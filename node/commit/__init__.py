"""Storage commitment. Modalities delete after it: so it speaks of what is stored, indexed and, if asked, archived."""
