"""Runs the plates of a screen, several at once, each in a folder of its own."""
