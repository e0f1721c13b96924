"""Scheduler backends: each starts or connects to a Dask cluster and provides a client."""
