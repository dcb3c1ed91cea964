"""How good is it? Metrics with confidence intervals, a run's history, plots, and the report of a checkpoint."""
