"""Readers: find the files below an input, recognise its layout, check the headers and read pixels."""
