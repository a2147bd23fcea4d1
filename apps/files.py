"""Reads what a caller names: a job file, or a job's name, with `--set` changes on top."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import yaml

from blocks.settings import Settings
from blocks.yaml_files import load_yaml
from lowtide.errors import BadInputError
from lowtide.identity import RUN_ID_PATTERN
from lowtide.job import TrainingJob, parse_job

_SHOWN_MAX = 80


def read_job(named: str | None, *, changes: Sequence[str] = (), settings: Settings) -> TrainingJob:
    """Read the job that a caller means.

    Args:
        named: A file, the name of a job found in the jobs folder, or a run's id: the job that it
            was a run of, as it was then; None: the default job.
        changes: `key.path=value` pairs that win over the file; values are read as YAML.
        settings: Where job files are.

    Returns:
        The job, checked.

    Raises:
        BadInputError: no such file, no YAML, or no job.
    """
    document, source = _meant(named, settings)
    for change in changes:
        document = _changed(document, change)
    if isinstance(document, Mapping):
        document = {"where": settings.where.value, **cast("Mapping[str, Any]", document)}
    return parse_job(document, source=source)


def read_yaml(path: Path) -> object:
    """Read a YAML file, or say where it is not YAML.

    Args:
        path: The file.

    Returns:
        What it holds; its reader checks that.

    Raises:
        BadInputError: it cannot be read, or is no YAML; with the line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        msg = "there is no such file"
        raise BadInputError(msg, where=str(path), remedy="check the path") from None
    except (OSError, UnicodeDecodeError) as error:
        msg = f"the file cannot be read: {error}"
        raise BadInputError(msg, where=str(path), remedy="name a text file") from None
    return load_yaml(text, source=str(path))


def job_names(settings: Settings) -> tuple[str, ...]:
    """Return the names of the jobs in the jobs folder.

    NAME/job.yaml is called NAME, another file beside it NAME/FILE.
    """
    files = settings.jobs.glob("*/*.yaml")
    return tuple(
        sorted(
            file.parent.name if file.name == "job.yaml" else f"{file.parent.name}/{file.stem}"
            for file in files
        )
    )


def job_path(named: str, *, settings: Settings) -> Path:
    """Return the file of a job in the jobs folder.

    A program that speaks for somebody else, as an agent, may name the jobs that are there, but no
    file of its own: a job file holds the command that is run.

    Raises:
        BadInputError: there is no job of that name.
    """
    known = job_names(settings)
    if named not in known:
        msg = "there is no such job"
        raise BadInputError(
            msg,
            where="job",
            expected=f"one of {', '.join(known) or '(none)'}, from {settings.jobs}",
            got=repr(named[:_SHOWN_MAX]),
            remedy="name one of them, or set LOWTIDE_JOBS to the folder of your jobs",
        )
    folder = settings.jobs / named
    return folder / "job.yaml" if folder.is_dir() else folder.with_suffix(".yaml")


def _meant(named: str | None, settings: Settings) -> tuple[object, str]:
    """Return the document that a caller names, and what to call it in messages."""
    if named is not None and re.match(RUN_ID_PATTERN, named):
        from apps.answers import find_run  # only a run's id needs the books
        from apps.books import open_ledger

        return dict(find_run(open_ledger(settings), named).job), f"the job of {named}"
    path = _find(named, settings)
    return read_yaml(path), str(path)


def _find(named: str | None, settings: Settings) -> Path:
    if named is None:
        return settings.job_file
    path = Path(named)
    if path.suffix in {".yaml", ".yml", ".json"} or path.is_file():
        return path
    return job_path(named, settings=settings)


def _changed(document: object, change: str) -> dict[str, Any]:
    path, sign, text = change.partition("=")
    if not sign or not path:
        msg = "--set takes key=value"
        raise BadInputError(
            msg, expected="--set epochs=5", got=change, remedy="name key and value"
        )
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        msg = "the value is not YAML"
        raise BadInputError(msg, where=f"--set {path}", got=text, remedy="quote it") from None
    return _with(document, path.split("."), value)


def _with(document: object, path: Sequence[str], value: object) -> dict[str, Any]:
    mapping = dict(cast("Mapping[str, Any]", document)) if isinstance(document, Mapping) else {}
    head, *rest = path
    mapping[head] = _with(mapping.get(head), rest, value) if rest else value
    return mapping
