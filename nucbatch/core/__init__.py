"""Vocabulary and arithmetic that every part uses; imports nothing else of the project."""
