"""Those who listen to the events of a run."""
