"""Aggregates nuclei into wells and plates."""
