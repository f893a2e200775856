"""Decides what a run does next: stimuli in, commands out. The theory of operation is in `machine`."""

from etl_runner.scheduler.commands import Announce, Command, Expand, Launch, Stop
from etl_runner.scheduler.machine import Scheduler

__all__ = ["Announce", "Command", "Expand", "Launch", "Scheduler", "Stop"]
