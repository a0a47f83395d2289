"""Pages for people: Secondary Captures, and what is drawn on them."""
