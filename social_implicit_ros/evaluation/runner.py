"""Evaluates many recordings, on this machine or on a cluster; each writes its part to a folder.

Parts are written under a temporary name and then renamed, so that a part is complete or absent,
and a later run can resume an earlier one.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import signal
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import joblib
from joblib.externals.loky.process_executor import TerminatedWorkerError
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress

from social_implicit_ros.evaluation.progress_bar import progress_bar
from social_implicit_ros.evaluation.recording import Request, evaluate_recording
from social_implicit_ros.models.registry import (
    BASELINES,
    DEFAULT_MODEL,
    fingerprint_of,
    load_model,
    shipped_models,
)
from social_implicit_ros.recordings.bag import RecordingError
from social_implicit_ros.tracks.messages.spec import find_tracker_spec
from social_implicit_ros.untrusted_files import printable_text

#: Version of the parts' layout: parts of another version are evaluated again.
PART_VERSION = 4
#: Timeout of the connection to a scheduler, seconds.
SCHEDULER_PATIENCE_S = 10.0
_UNFINISHED = ".unfinished"
_KILLED = (
    "its process was killed, as by a lack of memory: close other programs, use fewer --jobs, or "
    "evaluate a part of it with --duration"
)
#: The paper's model, trained as the paper describes.
PAPER_MODEL = "social_implicit"
#: Messages between two updates of the progress display.
_PROGRESS_EVERY = 32


@dataclass(frozen=True)
class Job:
    """One recording to evaluate.

    Attributes:
        part: of the file to write, without suffix.
        fingerprint: of the recording, the request and the models; identifies the part.
        n_bytes: size of the recording.
    """

    path: Path
    part: Path
    fingerprint: str
    n_bytes: int
    request: Request

    @property
    def summary(self) -> Path:
        """The file of the recording's properties and sums."""
        return self.part.with_name(self.part.name + ".json")

    @property
    def highlights(self) -> Path:
        """The file of the recording's part of the report page."""
        return self.part.with_name(self.part.name + ".highlights.json")

    @property
    def per_tick(self) -> Path:
        """The file of a row for each tick."""
        return self.part.with_name(self.part.name + ".parquet")

    def is_done(self) -> bool:
        """Whether an earlier run wrote this part."""
        try:
            summary = json.loads(self.summary.read_text())
            digests = _digests(self.per_tick, self.highlights)
        except (OSError, ValueError):
            return False
        return (
            isinstance(summary, dict)
            and summary.get("fingerprint") == self.fingerprint
            and summary.get("digests") == digests
        )


@dataclass(frozen=True)
class Outcome:
    """How a job ended.

    Attributes:
        reason: why it failed; None if its part was written.
    """

    job: Job
    reason: str | None


def default_models() -> tuple[str, ...]:
    """The shipped default, the paper's, and the baselines, as far as they are installed."""
    shipped = shipped_models()
    return (*(name for name in (DEFAULT_MODEL, PAPER_MODEL) if name in shipped), *BASELINES)


def jobs_of(paths: Sequence[Path], request: Request, out: Path) -> list[Job]:
    """One job for each recording.

    Args:
        out: the folder to write into; created with its subfolder `parts` if missing.
    """
    parts = parts_folder(out)
    parts.mkdir(parents=True, exist_ok=True)
    asked = _digest(
        {
            "version": PART_VERSION,
            "request": asdict(request),
            "models": [fingerprint_of(load_model(name)) for name in request.models],
            "tracker": repr(find_tracker_spec(request.tracker)) if request.tracker else None,
        }
    )
    jobs = []
    for path in paths:
        read = [path, *filter(None, [request.ground_truth_of(path)])]
        files = [file for entry in read for file in _files_of(entry)]
        stats = [file.stat() for file in files]
        content = [
            (str(file), stat.st_size, stat.st_mtime_ns)
            for file, stat in zip(files, stats, strict=True)
        ]
        stem = re.sub(r"[^\w.-]", "_", path.stem)[:80]
        name = f"{stem}-{_digest(str(path.resolve()))[:8]}"
        jobs.append(
            Job(
                path=path.resolve(),
                part=parts / name,
                fingerprint=_digest([asked, content]),
                n_bytes=sum(file.stat().st_size for file in _files_of(path)),
                request=request,
            )
        )
    return jobs


def _files_of(path: Path) -> list[Path]:
    return [path] if path.is_file() else sorted(f for f in path.rglob("*") if f.is_file())


def run_job(
    job: Job,
    opened: Callable[[int], None] = lambda n_messages: None,
    advance: Callable[[int], None] = lambda n_messages: None,
) -> Outcome:
    """Evaluates one recording and writes its part."""
    # Another process may evaluate the same recording, if a cluster lost contact with this one.
    token = uuid.uuid4().hex
    temporary = {file: file.with_name(f"{file.name}.{token}{_UNFINISHED}") for file in _files(job)}
    try:
        part = evaluate_recording(
            job.path, job.request, temporary[job.per_tick], opened=opened, advance=advance
        )
        temporary[job.highlights].write_text(json.dumps(part.pop("highlights")))
        part["fingerprint"] = job.fingerprint
        part["digests"] = _digests(temporary[job.per_tick], temporary[job.highlights])
        temporary[job.summary].write_text(json.dumps(part))
        for file in _files(job):
            temporary[file].replace(file)
    except (RecordingError, ValueError, OSError) as error:
        reason = str(error) or type(error).__name__
        # A full disk names no file.
        has_name = not isinstance(error, OSError) or error.filename is not None
        return Outcome(job, reason if has_name else f"{job.part.parent}: {reason}")
    except Exception as error:  # noqa: BLE001 (one recording does not stop the others)
        return Outcome(job, f"{job.path}: {type(error).__name__}: {error}")
    finally:
        for file in temporary.values():
            file.unlink(missing_ok=True)
    return Outcome(job, None)


def run_jobs(
    jobs: Sequence[Job], *, n_processes: int, scheduler: str | None = None, console: Console
) -> list[Outcome]:
    """Evaluates recordings side by side and shows the progress.

    Args:
        n_processes: on this machine; a cluster uses all its workers.
        scheduler: address of a Dask scheduler, such as `tcp://host:8786`; None runs here.

    Returns:
        How each job ended, in the order in which they ended.

    Raises:
        RecordingError: the cluster cannot be reached.
    """
    if not jobs:
        return []
    with progress_bar(console) as progress:
        if scheduler is None and (n_processes == 1 or len(jobs) == 1):
            return [_run_here(job, progress) for job in jobs]
        task = progress.add_task(f"{len(jobs)} recordings", total=sum(job.n_bytes for job in jobs))
        outcomes: list[Outcome] = []

        def finished(outcome: Outcome) -> None:
            outcomes.append(outcome)
            progress.advance(task, outcome.job.n_bytes)

        n_workers = -1 if scheduler else min(n_processes, len(jobs))
        with _workers(scheduler):
            remaining = list(jobs)
            while remaining and not _run_workers(remaining, n_workers, finished):
                remaining = _without(remaining, outcomes)
                # A worker was killed, with one of the recordings that were begun: each runs alone.
                for job in remaining[:n_processes]:
                    if not _run_workers([job], 2, finished):
                        finished(Outcome(job, f"{job.path}: {_KILLED}"))
                remaining = _without(remaining, outcomes)
        return outcomes


def _run_workers(jobs: Sequence[Job], n_workers: int, finished: Callable[[Outcome], None]) -> bool:
    """Runs jobs in workers; returns whether no worker was killed."""
    parallel = joblib.Parallel(n_jobs=n_workers, return_as="generator_unordered")
    try:
        with _interrupts_only_here():
            outcomes = parallel(joblib.delayed(run_job)(job) for job in jobs)
        for outcome in outcomes:
            finished(outcome)
    except TerminatedWorkerError:
        return False
    return True


def _without(jobs: Sequence[Job], outcomes: Sequence[Outcome]) -> list[Job]:
    done = {outcome.job.part for outcome in outcomes}
    return [job for job in jobs if job.part not in done]


@contextmanager
def _interrupts_only_here() -> Iterator[None]:
    """Processes that start within inherit that SIGINT (Ctrl-C) is blocked; this one ends them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Holds an output folder for this process: two runs would remove each other's files.

    Args:
        out: the folder, made by `jobs_of`.

    Raises:
        RecordingError: another process holds it.
    """
    folder = os.open(parts_folder(out), os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise RecordingError(
            f"another evaluation writes to {out}: wait for it, or choose another folder"
        ) from error
    finally:
        os.close(folder)


@contextmanager
def written_beside(file: Path) -> Iterator[Path]:
    """Replaces a file as a whole, or leaves it unchanged if anything fails.

    Yields:
        The path to write to, in the same folder.
    """
    temporary = file.with_name(f"{file.name}.{uuid.uuid4().hex}{_UNFINISHED}")
    try:
        yield temporary
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)


def _run_here(job: Job, progress: Progress) -> Outcome:
    task = progress.add_task(escape(printable_text(job.path.name)), start=False)
    n_messages = 0

    def opened(n_total: int) -> None:
        progress.update(task, total=n_total)
        progress.start_task(task)

    def advance(n_more: int) -> None:
        nonlocal n_messages
        n_messages += n_more
        # An update at every message takes longer than reading it.
        if n_messages % _PROGRESS_EVERY == 0:
            progress.update(task, completed=n_messages)

    outcome = run_job(job, opened, advance)
    progress.remove_task(task)
    return outcome


def parts_folder(out: Path) -> Path:
    """The folder of the jobs' files below the one to write into."""
    return out.resolve() / "parts"


def remove_unfinished(out: Path) -> None:
    """Removes the files of processes that were killed."""
    for folder in (out, parts_folder(out)):
        for file in folder.glob(f"*{_UNFINISHED}"):
            file.unlink(missing_ok=True)


def _digests(*files: Path) -> list[str]:
    return [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]


def _files(job: Job) -> tuple[Path, ...]:
    # The summary is last: it marks the part as complete.
    return job.per_tick, job.highlights, job.summary


@contextmanager
def _workers(scheduler: str | None) -> Iterator[None]:
    if scheduler is None:
        with joblib.parallel_config(backend="loky"):
            yield
        return
    try:
        from distributed import Client
    except ImportError as error:
        raise RecordingError(
            "--backend dask needs dask.distributed: pip install 'social_implicit_ros[fleet]'"
        ) from error
    try:
        client = Client(scheduler, timeout=SCHEDULER_PATIENCE_S)
    except (OSError, TimeoutError, ValueError) as error:
        raise RecordingError(f"no Dask scheduler answers at {scheduler}: {error}") from error
    with client, joblib.parallel_config(backend="dask"):
        yield


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()
