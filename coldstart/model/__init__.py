"""The shared vocabulary: frozen records that every other room speaks in, and nothing else."""
