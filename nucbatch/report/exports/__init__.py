"""Masks, outlines and tables of a run in the formats of other programs, made from its folder."""
