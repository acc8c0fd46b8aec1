"""experiment.toml to a validated experiment; an experiment to a seeded, blocked schedule."""
