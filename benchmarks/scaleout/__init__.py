"""Folds and judges under load, killed and stopped: they count and tell what one process would."""
