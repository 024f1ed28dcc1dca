"""Of several waiting jobs only the newest runs, and never two at the same time."""

from __future__ import annotations

from threading import Event

from social_implicit_ros.ros.preparation import NewestJob


def test_the_newest_of_the_waiting_jobs_is_run_last() -> None:
    jobs, done = NewestJob("test"), []
    started, release, ended = Event(), Event(), Event()

    def slow() -> None:
        started.set()
        release.wait(10.0)
        done.append("slow")

    def last() -> None:
        done.append("newest")
        ended.set()

    jobs.begin(slow)
    assert started.wait(10.0)
    jobs.begin(lambda: done.append("replaced"))
    jobs.begin(last)
    release.set()
    assert ended.wait(10.0)
    assert done == ["slow", "newest"]


def test_jobs_after_the_last_one_ended_are_run() -> None:
    jobs = NewestJob("test")
    for _ in range(100):
        ended = Event()
        jobs.begin(ended.set)
        assert ended.wait(10.0)
