"""Backends: each gives a Dask client to submit blocks to."""
