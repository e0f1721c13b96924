"""A run's folder: images and labels as OME-Zarr, tables, the ledger of what is committed, and the lock."""
