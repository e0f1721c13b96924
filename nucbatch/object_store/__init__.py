"""Objects in a store (S3, Google Cloud, Azure, HTTP) behind the methods of a path."""

from nucbatch.object_store.ahead import ahead, at_once, each
from nucbatch.object_store.object_file import (
    ObjectFile,
    StoredBytes,
    file_size,
    positioned,
    read_at,
    read_into,
    shown_version,
)
from nucbatch.object_store.path import ObjectPath, as_path, disk_path, is_address, path_in

__all__ = [
    "ObjectFile",
    "ObjectPath",
    "StoredBytes",
    "ahead",
    "as_path",
    "at_once",
    "disk_path",
    "each",
    "file_size",
    "is_address",
    "path_in",
    "positioned",
    "read_at",
    "read_into",
    "shown_version",
]
