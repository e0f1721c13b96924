"""Zarr arrays that others wrote, read chunk by chunk without trusting them."""

from nucbatch.zarray.array import StoredArray
from nucbatch.zarray.document import MOST_JSON_BYTES, ArrayForm, array_form, damage, read_json

__all__ = ["MOST_JSON_BYTES", "ArrayForm", "StoredArray", "array_form", "damage", "read_json"]
