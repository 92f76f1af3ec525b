"""CoMC itself: its settings, the classifier and its training, the mapping, the scores."""
