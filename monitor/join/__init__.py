"""Inferences and their outcomes, brought together by request id, whichever comes first and however long after."""
