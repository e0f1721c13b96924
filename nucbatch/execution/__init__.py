"""Execution of a run: the driver's session, the tasks of fields and large images, and the final tables."""
