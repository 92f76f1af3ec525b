"""What lies on disk: a checked cache of arrays, hashes, whole-file writes, folders."""
