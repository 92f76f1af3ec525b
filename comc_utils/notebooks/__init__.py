"""The life of a notebook: how it begins, what it leaves, its figures, the runner and the report."""
