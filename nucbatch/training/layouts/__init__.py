"""The layouts in which people keep labelled images: one file each, a folder → what it holds."""

from nucbatch.training.layouts.recognise import recognise

__all__ = ["recognise"]
