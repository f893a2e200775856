"""etl-run schema: the JSON Schema of the pipeline file."""

from __future__ import annotations

import click

from etl_runner.cli.options import Settings, common_options


@click.command()
@common_options
def schema(settings: Settings) -> None:  # noqa: ARG001 (every command takes the common options)
    """Print the JSON Schema of the pipeline file, for editors that complete and check TOML.

    For example: etl-run schema > etl.schema.json, and as first line of etl.toml: #:schema ./etl.schema.json
    """
    import json

    from etl_runner.pipeline.schema import schema as pipeline_schema

    click.echo(json.dumps(pipeline_schema(), indent=2, ensure_ascii=False))
