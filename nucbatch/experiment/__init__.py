"""From nuclei to wells and plates."""
