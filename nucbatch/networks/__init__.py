"""Architectures by name, and the weight files that carry their own card."""
