"""Own labels on own photos: what the paper's method is for."""
