"""What will be done and what it will cost, before anything runs."""
