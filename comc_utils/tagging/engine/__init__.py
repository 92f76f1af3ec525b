"""Photos by the million: in shards, worked on here or on many machines, and a table left of each."""
