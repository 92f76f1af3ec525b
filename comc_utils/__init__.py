"""CoMC: multi-label image recognition by a classifier that has only seen text."""

__version__ = "0.1.0"
