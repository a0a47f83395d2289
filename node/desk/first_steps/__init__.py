"""The first configuration of a site, from the five things that nobody but the site knows."""
