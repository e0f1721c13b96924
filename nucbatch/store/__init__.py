"""Storage of a run: its folder, OME-Zarr images and labels, tables, ledger and scratch files."""
