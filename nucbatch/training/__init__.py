"""Learning weights from images with labelled nuclei."""
