"""The pipeline file: from its text to a pipeline and to plans."""

from etl_runner.pipeline.pipeline import Pipeline, Template
from etl_runner.pipeline.problems import PipelineProblems, Problem
from etl_runner.pipeline.read import read_pipeline
from etl_runner.pipeline.select import select

__all__ = ["Pipeline", "PipelineProblems", "Problem", "Template", "read_pipeline", "select"]
