"""A warehouse load: the model to copy for your own jobs."""
