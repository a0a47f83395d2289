"""Worked examples for authors, from images to pages: each folder is a plugin as an author writes one."""
