"""Numbers for scores: metrics with intervals, comparisons, the modality gap, the paper's claims and tables."""
