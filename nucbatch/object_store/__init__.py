"""Objects in a store (S3, Google Cloud, Azure, HTTP) behind the methods of a path."""

from nucbatch.object_store.object_file import (
    ObjectFile,
    StoredBytes,
    file_size,
    positioned,
    read_at,
    read_into,
    shown_version,
)
from nucbatch.object_store.path import ObjectPath, as_path, is_address, path_in

__all__ = [
    "ObjectFile",
    "ObjectPath",
    "StoredBytes",
    "as_path",
    "file_size",
    "is_address",
    "path_in",
    "positioned",
    "read_at",
    "read_into",
    "shown_version",
]
