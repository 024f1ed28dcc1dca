"""Evaluates many recordings, on this machine or on a cluster, and writes a part for each.

Parts are written under a temporary name and then renamed, so that a part is complete or absent,
and a later run can resume an earlier one.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import multiprocessing
import os
import re
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, ProcessPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from social_implicit_ros.evaluation.output_files import UNFINISHED, written_beside
from social_implicit_ros.evaluation.parts import read_part
from social_implicit_ros.evaluation.recording import evaluate_recording, files_of
from social_implicit_ros.evaluation.request import Request
from social_implicit_ros.evaluation.terminal import progress_bar, shown_task
from social_implicit_ros.models.registry import (
    BASELINES,
    DEFAULT_MODEL,
    fingerprint_of,
    load_model,
    shipped_models,
)
from social_implicit_ros.recordings.bag import RecordingError
from social_implicit_ros.recordings.floor_plan import load_map
from social_implicit_ros.tracks.messages.spec import find_tracker_spec
from social_implicit_ros.untrusted_files import error_text

#: Version of the parts' layout: parts of another version are evaluated again.
PART_VERSION = 7
#: Timeout of the connection to a scheduler, seconds.
SCHEDULER_PATIENCE_S = 10.0
_KILLED = (
    "its process was killed, for example for lack of memory: close other programs, use fewer "
    "--jobs, or evaluate only a section with --duration"
)
#: The paper's model, trained as the paper describes.
PAPER_MODEL = "social_implicit"


@dataclass(frozen=True)
class Job:
    """One recording to evaluate.

    Attributes:
        path: path of the recording.
        part: the file to write.
        fingerprint: hash of the recording, the request and the models; identifies the part.
        n_bytes: size of the recording.
        request: what to evaluate.
    """

    path: Path
    part: Path
    fingerprint: str
    n_bytes: int
    request: Request

    def is_done(self) -> bool:
        """Whether an earlier run wrote this part and all of its values can be read."""
        try:
            values = read_part(self.part, "fingerprint", "bag", "tallies", "highlights")
            return bool(values["fingerprint"] == self.fingerprint)
        except (OSError, ValueError):
            return False


#: A job, and the reason why it failed; None if its part was written.
Outcome = tuple[Job, str | None]


def default_models() -> tuple[str, ...]:
    """The default model, the paper's model and the baselines, as far as they are installed."""
    shipped = shipped_models()
    return (*(name for name in (DEFAULT_MODEL, PAPER_MODEL) if name in shipped), *BASELINES)


def jobs_of(paths: Sequence[Path], request: Request, out: Path) -> list[Job]:
    """One job for each recording, in the folder `out`; creates its subfolder `parts`."""
    parts = parts_folder(out)
    parts.mkdir(parents=True, exist_ok=True)
    name = request.choices.tracker
    tracker = repr(find_tracker_spec(name)) if name else None
    models = [fingerprint_of(load_model(name)) for name in request.models]
    asked = _digest([PART_VERSION, asdict(request), models, tracker, _map_of(request)])
    jobs = []
    for path in paths:
        read = [path, *filter(None, [request.ground_truth_of(path)])]
        stats = [(file, file.stat()) for entry in read for file in files_of(entry)]
        content = [(str(file), stat.st_size, stat.st_mtime_ns) for file, stat in stats]
        stem = re.sub(r"[^\w.-]", "_", path.stem)[:80]
        part = parts / f"{stem}-{_digest(str(path.resolve()))[:8]}.parquet"
        n_bytes = sum(file.stat().st_size for file in files_of(path))
        jobs.append(Job(path.resolve(), part, _digest([asked, content]), n_bytes, request))
    return jobs


def _map_of(request: Request) -> list[Any] | None:
    """Values that identify the map of --map; raises RecordingError if it cannot be used."""
    if request.map_file is None:
        return None
    plan = load_map(request.map_file)
    cells = hashlib.sha256(plan.occupied.tobytes()).hexdigest()
    return [cells, plan.occupied.shape, plan.resolution_m, plan.origin_m, plan.yaw_rad]


def run_job(
    job: Job, advance: Callable[[int, int], None] = lambda n_read, n_messages: None
) -> Outcome:
    """Evaluates one recording and writes its part."""
    # Another process may evaluate the same recording, if a cluster lost contact with this one.
    try:
        with written_beside(job.part) as part:
            evaluate_recording(
                job.path, job.request, part, fingerprint=job.fingerprint, advance=advance
            )
    except (RecordingError, ValueError, OSError) as error:
        reason = error_text(error) or type(error).__name__
        # The error of a full disk names no file.
        has_name = not isinstance(error, OSError) or error.filename is not None
        return job, reason if has_name else f"{job.part.parent}: {reason}"
    except Exception as error:  # noqa: BLE001 (one recording does not stop the others)
        return job, f"{job.path}: {type(error).__name__}: {error}"
    return job, None


def run_jobs(
    jobs: Sequence[Job], n_processes: int, scheduler: str | None = None, *, console: Console
) -> dict[Path, str]:
    """Evaluates recordings in parallel and shows the progress.

    Args:
        jobs: jobs of `jobs_of`.
        n_processes: number of processes on this machine; a cluster uses all of its workers.
        scheduler: address of a Dask scheduler, such as `tcp://host:8786`; None runs on this
            machine.
        console: terminal for the progress.

    Returns:
        Reasons of the failures, by path.

    Raises:
        RecordingError: the cluster cannot be reached.
    """
    reasons: dict[Path, str | None] = {}
    with progress_bar(console) as progress:
        if scheduler is None and (n_processes == 1 or len(jobs) <= 1):
            for job in jobs:
                with shown_task(progress, job.path.name) as show:
                    _, reasons[job.path] = run_job(job, show)
        else:
            n_bytes = sum(job.n_bytes for job in jobs)
            task = progress.add_task(f"{len(jobs)} recordings", total=n_bytes)
            for job, reason in _in_workers(jobs, n_processes, scheduler):
                reasons[job.path] = reason
                progress.advance(task, job.n_bytes)
    return {path: reason for path, reason in reasons.items() if reason is not None}


def _in_workers(jobs: Sequence[Job], n_processes: int, scheduler: str | None) -> Iterator[Outcome]:
    """Yields outcomes as jobs end, including the jobs of killed workers."""
    remaining = {job.part: job for job in jobs}

    def outcomes(some: Sequence[Job], n_workers: int) -> Iterator[Outcome]:
        """Ends early if a worker is killed."""
        with suppress(BrokenExecutor), _workers(scheduler, n_workers) as workers:
            # Workers inherit that SIGINT (Ctrl-C) is blocked; this process ends them.
            before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
            try:
                futures = [workers.submit(run_job, job) for job in some]
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
            for future in as_completed(futures):
                job, reason = future.result()
                del remaining[job.part]
                yield job, reason

    while remaining:
        yield from outcomes([*remaining.values()], min(n_processes, len(jobs)))
        # A worker was killed. Each recording that had begun runs alone, to find which one it was.
        for job in [*remaining.values()][:n_processes]:
            yield from outcomes([job], 1)
            if remaining.pop(job.part, None):
                yield job, f"{job.path}: {_KILLED}"


@contextmanager
def _workers(scheduler: str | None, n_workers: int) -> Iterator[Executor]:
    """Processes of this machine or of a cluster; raises BrokenExecutor if one is killed."""
    if scheduler is None:
        spawn = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang
        with ProcessPoolExecutor(n_workers, spawn, _end_with_parent) as executor:
            try:
                yield executor
            except BaseException:
                for process in multiprocessing.active_children():
                    process.kill()
                raise
        return
    try:
        from distributed import Client, KilledWorker
    except ImportError as error:
        raise RecordingError(
            "--backend dask needs dask.distributed: pip install 'social_implicit_ros[fleet]'"
        ) from error
    try:
        client = Client(scheduler, timeout=SCHEDULER_PATIENCE_S)
    except (OSError, TimeoutError, ValueError) as error:
        raise RecordingError(f"no Dask scheduler answers at {scheduler}: {error}") from error
    with client:
        try:
            yield client.get_executor(pure=False)
        except KilledWorker as error:
            raise BrokenExecutor from error


def _end_with_parent() -> None:
    """Ends this worker when the process that started it ends in any way, as by SIGTERM."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Locks an output folder of `jobs_of`; raises RecordingError if another process holds it."""
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


def parts_folder(out: Path) -> Path:
    """The folder of the parts below an output folder."""
    # Unlike Path.resolve, it does not fail for a link to itself.
    return Path(os.path.realpath(out)) / "parts"


def remove_unfinished(out: Path) -> None:
    """Removes unfinished files of processes that were killed."""
    for folder in (out, parts_folder(out)):
        for file in folder.glob(f"*{UNFINISHED}"):
            file.unlink(missing_ok=True)


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()
