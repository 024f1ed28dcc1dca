"""Settings of all tests."""

import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

# Property tests check results, not speed; `make fuzz` tries many more examples.
settings.register_profile("any_machine", deadline=None, max_examples=50)
settings.load_profile("any_machine")


@pytest.fixture(scope="session", autouse=True)
def ros_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nodes keep their files in a temporary folder, not in the user's home."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROS_HOME", str(tmp_path_factory.mktemp("ros_home")))
        yield


@pytest.fixture(scope="session", autouse=True)
def default_interrupts() -> Iterator[None]:
    """SIGINT reaches the processes of the tests.

    A shell ignores SIGINT for the processes that it starts in the background, and their children
    inherit that.
    """
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
