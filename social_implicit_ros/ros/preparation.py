"""Prepares parameters and maps in the background, while ticks continue with the old ones."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from threading import Condition, Thread

from social_implicit_ros.ros.outputs.base import Output
from social_implicit_ros.settings import NodeConfig

#: Parameters that a tick applies, and the outputs created from them by name; None if the present
#: outputs stay.
Prepared = tuple[NodeConfig, dict[str, Output] | None]


class NewestJob:
    """Runs one job at a time in a thread; of several waiting jobs only the newest runs."""

    def __init__(self, name: str) -> None:
        """Starts without jobs; the thread gets the name."""
        self._name = name
        self._changed = Condition()
        self._next: Callable[[], None] | None = None
        self.is_running = False

    def begin(self, job: Callable[[], None]) -> None:
        """Runs a job now, or after the running one; the job must not raise."""
        with self._changed:
            self._next = job
            if not self.is_running:
                self.is_running = True
                # Daemon, so that a shutdown does not wait for an import.
                Thread(target=self._run, name=self._name, daemon=True).start()

    def wait(self) -> None:
        """Returns when no job runs or waits."""
        with self._changed:
            self._changed.wait_for(lambda: not self.is_running)

    def _run(self) -> None:
        while True:
            with self._changed:
                job, self._next = self._next, None
                self.is_running = job is not None
                self._changed.notify_all()
            if job is None:
                return
            job()


class Preparation:
    """Prepares the newest parameters in a thread.

    The first change of the number of samples imports scipy.stats, which takes seconds.
    """

    def __init__(self, prepare: Callable[[NodeConfig], dict[str, Output]]) -> None:
        """Starts with nothing to prepare.

        Args:
            prepare: creates the outputs and runs a tick with them once; called in the thread.
        """
        self._prepare = prepare
        self._jobs = NewestJob("preparation")
        self._result: Prepared | Exception | None = None

    def begin(self, config: NodeConfig, before: NodeConfig) -> None:
        """Prepares parameters; immediately if they need neither new samples nor new outputs."""
        if not self._jobs.is_running and _drawn(config) == _drawn(before):
            self._result = config, None
        else:
            self._jobs.begin(partial(self._run, config))

    def take(self, *, wait: bool = False) -> Prepared | None:
        """What was prepared since the last call; None if there is nothing, or not yet.

        Raises:
            Exception: the preparation failed.
        """
        if wait:
            self._jobs.wait()
        if self._jobs.is_running:
            return None
        result, self._result = self._result, None
        if isinstance(result, Exception):
            raise result
        return result

    def _run(self, config: NodeConfig) -> None:
        try:
            self._result = config, self._prepare(config)
        except Exception as error:  # noqa: BLE001 (raised by `take`)
            self._result = error


def _drawn(config: NodeConfig) -> tuple[object, ...]:
    """The parameters whose change needs new samples or outputs."""
    pipeline = config.predictor.pipeline
    return (pipeline.n_samples, pipeline.seed, *config.for_outputs)
