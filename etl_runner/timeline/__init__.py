"""The state of a run, folded from its records."""

from etl_runner.timeline.timeline import Timeline
from etl_runner.timeline.track import Group, Stage, Track, Try

__all__ = ["Group", "Stage", "Timeline", "Track", "Try"]
