"""Probability maps to labelled nuclei, in whole images and in blocks of large ones."""
