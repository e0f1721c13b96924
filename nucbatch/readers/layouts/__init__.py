"""Layouts of plates and collections, one file each: from names and side files to a Plate."""
