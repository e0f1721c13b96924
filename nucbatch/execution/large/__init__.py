"""Processing of large images, which have more than one block: the list of stages, and each stage's work."""
