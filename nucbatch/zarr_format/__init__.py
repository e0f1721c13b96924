"""Reads Zarr arrays and OME-Zarr metadata of any writer, with all checks done before decoding."""

from nucbatch.zarr_format.array import StoredArray
from nucbatch.zarr_format.document import ArrayForm, array_form
from nucbatch.zarr_format.json_file import MOST_JSON_BYTES, damage, read_json_if_there

__all__ = ["MOST_JSON_BYTES", "ArrayForm", "StoredArray", "array_form", "damage", "read_json_if_there"]
