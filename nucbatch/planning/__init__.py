"""Plans a run: blocks, their order and their projected memory. Pure, before anything runs."""
