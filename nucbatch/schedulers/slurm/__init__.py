"""SLURM: workers are jobs of their own, asked for, watched and replaced while a run goes on."""
