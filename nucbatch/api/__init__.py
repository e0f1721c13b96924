"""The functions of ``import nucbatch``, in a file each."""
