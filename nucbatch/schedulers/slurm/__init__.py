"""SLURM backend: each worker is a job, submitted, monitored and replaced during the run."""
