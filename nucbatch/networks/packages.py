"""Names inside packages of bioimage.io that nucbatch made."""

OWN_WEIGHTS = "nucbatch.safetensors"
"""nucbatch's own weight file in a package."""
