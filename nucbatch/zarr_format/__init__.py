"""Reads Zarr arrays and OME-Zarr metadata of any writer, with all checks done before decoding."""

from nucbatch.zarr_format.array import StoredArray
from nucbatch.zarr_format.document import MOST_JSON_BYTES, ArrayForm, array_form, damage, read_json

__all__ = ["MOST_JSON_BYTES", "ArrayForm", "StoredArray", "array_form", "damage", "read_json"]
