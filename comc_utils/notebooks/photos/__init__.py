"""Your photos in a notebook, or in a page of their own: dropped, tagged, looked at, corrected, exported."""
