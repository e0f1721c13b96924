"""Layouts of plates and image collections, one file each: from file names and side files to a Plate."""
