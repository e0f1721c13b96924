"""Segmentation of one image: normalisation, scale, prediction by the network, objects."""
