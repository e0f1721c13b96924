"""Images of more than one block: their stages, what a worker does at each, and in which order."""
