"""How fast the package is, always as a ratio to a plain reference in the same run."""
