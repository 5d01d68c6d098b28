"""Releases: may a candidate version take the incumbent's place? Pass, fail or not yet, from counts, at any time."""
