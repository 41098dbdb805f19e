"""run.json: the schema, the run's directory, the verdict on a run, labels."""
