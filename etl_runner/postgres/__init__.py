"""The warehouse's server: the one the environment names, or our own embedded PostgreSQL."""

from etl_runner.postgres.choice import environment, is_selected_by_environment, ping
from etl_runner.postgres.server import EmbeddedPostgres, Server

__all__ = ["EmbeddedPostgres", "Server", "environment", "is_selected_by_environment", "ping"]
