"""One judge for each kind of action: which rules speak about it, and what each says."""
