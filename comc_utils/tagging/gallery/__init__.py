"""Tagged photos to look at: what the gallery's script draws, in a page of its own or in a notebook."""
