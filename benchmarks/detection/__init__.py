"""How well is drift detected, and how often is nothing called drift? The bench of issue 3: ours and peers, one run."""
