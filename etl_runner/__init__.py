"""Run ETL jobs in phases, side by side, and say clearly what happened."""

__version__ = "0.1.0"
