"""Probabilities → labelled nuclei."""
