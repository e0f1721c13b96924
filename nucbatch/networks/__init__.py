"""Network architectures by name, and weight files with their cards."""
