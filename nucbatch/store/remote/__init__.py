"""Runs whose results go to an object store: lock, ledger and files of the run there."""
