"""The sequential engine: evidence of change that is always valid, per stream, at any time, in constant memory."""
