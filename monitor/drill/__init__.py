"""Drills: a made-up incident, planted on purpose, to prove that it is found and that everybody hears of it."""
