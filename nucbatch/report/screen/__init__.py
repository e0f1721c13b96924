"""Tables and overview page of the runs of a screen. Needs only the standard library of Python."""
