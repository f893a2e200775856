"""Decides what a run does next: stimuli in, commands out. The theory of operation is in `machine`."""

from etl_runner.scheduler.commands import Announce, Command, Launch, Stop
from etl_runner.scheduler.machine import Scheduler

__all__ = ["Announce", "Command", "Launch", "Scheduler", "Stop"]
