"""What jobs have reported, as the matrix of others."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from pathlib import Path

from etl_runner.events import JobExpanded, JobFinished
from etl_runner.job import values_of
from etl_runner.model import Job, Output
from etl_runner.pipeline.matrix import MatrixError, copies_of


def expansion_of(
    job: Job, *, ends: Mapping[str, JobFinished], others: Container[str], outputs: Callable[[str, int], Path]
) -> JobExpanded:
    """The copies of a job with an expansion, or what is wrong with the values that were reported for it.

    `ends` are the jobs that are over, `others` the names that are taken, `outputs` gives an attempt's ETL_OUTPUT file.
    """
    assert job.expand

    def reported(source: Output) -> object:
        end = ends.get(source.job)
        if end is None or not end.outcome.is_good:
            raise MatrixError("it did not succeed")
        try:
            values = values_of(outputs(source.job, end.attempt), errors="surrogateescape")
        except OSError as error:
            raise MatrixError(f"its ETL_OUTPUT cannot be read: {error.strerror}") from None
        if source.output not in values:
            raise MatrixError(f"it wrote no {source.output!r} to its ETL_OUTPUT")
        return values[source.output]

    try:
        copies = copies_of(job.name, job.expand, reported)
    except MatrixError as error:
        return JobExpanded(job=job.name, error=error.message)
    if taken := [copy.name for copy in copies if copy.name in others]:
        return JobExpanded(job=job.name, error=f"there is already a job {taken[0]!r}")
    return JobExpanded(job=job.name, copies=copies)
