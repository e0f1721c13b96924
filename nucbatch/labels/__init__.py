"""Label images with their images, in every layout that training and scoring read."""

from nucbatch.labels.recognise import recognise

__all__ = ["recognise"]
