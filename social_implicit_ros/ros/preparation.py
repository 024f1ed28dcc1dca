"""Prepares parameters and maps in the background, while ticks continue with the old ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock, Thread

from social_implicit_ros.ros.outputs.base import Output
from social_implicit_ros.settings import NodeConfig


@dataclass(frozen=True)
class Prepared:
    """What a tick takes over at once.

    Attributes:
        config: the parameters.
        outputs: made from them, by name; None where they need no new ones.
    """

    config: NodeConfig
    outputs: dict[str, Output] | None = None


class Preparation:
    """Runs one preparation at a time in a thread; the newest parameters win.

    The first draw of another number of samples imports scipy.stats, which takes seconds.
    """

    def __init__(self, prepare: Callable[[NodeConfig], dict[str, Output]]) -> None:
        """Starts with nothing to prepare.

        Args:
            prepare: runs in the thread: makes the outputs, and whatever ticks need, once.
        """
        self._prepare = prepare
        self._next: NodeConfig | None = None
        self._thread: Thread | None = None
        self._result: Prepared | Exception | None = None

    def begin(self, config: NodeConfig, before: NodeConfig) -> None:
        """Prepares parameters; immediately if they need nothing new.

        Args:
            config: the new parameters.
            before: those in use.
        """
        if self._thread is None and _drawn(config) == _drawn(before):
            self._result = Prepared(config)
            return
        self._next, self._result = config, None
        if self._thread is None:
            self._start()

    def take(self, *, wait: bool = False) -> Prepared | None:
        """What was prepared since the last call; None if there is nothing, or not yet.

        Args:
            wait: until it is prepared.

        Raises:
            Exception: it cannot be prepared.
        """
        while self._thread is not None and (wait or not self._thread.is_alive()):
            self._thread.join()
            self._thread = None
            if self._next is not None:
                self._start()
        result = None
        if self._thread is None:
            result, self._result = self._result, None
        if isinstance(result, Exception):
            raise result
        return result

    def _start(self) -> None:
        config, self._next = self._next, None
        # Daemon, so that a shutdown does not wait for an import.
        self._thread = Thread(target=self._run, args=(config,), daemon=True, name="preparation")
        self._thread.start()

    def _run(self, config: NodeConfig) -> None:
        try:
            self._result = Prepared(config, self._prepare(config))
        except Exception as error:  # noqa: BLE001 (raised by `take`)
            self._result = error


class NewestJob:
    """Runs one job at a time in a thread; of those that wait, only the newest is run."""

    def __init__(self, name: str) -> None:
        """Starts without jobs; the thread gets the name."""
        self._name = name
        self._lock = Lock()
        self._next: Callable[[], None] | None = None
        self._is_running = False

    def begin(self, job: Callable[[], None]) -> None:
        """Runs a job, which raises nothing, now or after the one that runs."""
        with self._lock:
            self._next = job
            if not self._is_running:
                self._is_running = True
                Thread(target=self._run, name=self._name, daemon=True).start()

    def _run(self) -> None:
        while True:
            with self._lock:
                job, self._next = self._next, None
                self._is_running = job is not None
            if job is None:
                return
            job()


def _drawn(config: NodeConfig) -> tuple[object, ...]:
    """The parameters that need new draws or outputs."""
    return (config.pipeline.n_samples, config.pipeline.seed, *config.for_outputs)
