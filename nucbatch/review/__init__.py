"""Reviewing a run: the fields most worth labelling, a viewer, and corrections as training data."""
