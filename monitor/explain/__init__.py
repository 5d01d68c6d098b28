"""An alert in words, for the person who was woken by it: what fired, why, since when, and beside what."""
