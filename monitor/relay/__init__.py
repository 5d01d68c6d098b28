"""The topics by which folds and judges reach each other, and judges their successors."""
