import threading
import time

import pytest

from unmasked.limits import OutOfTime, time_limit


def spin():
    while True:
        pass


def test_a_loop_that_swallows_exceptions_is_stopped_all_the_same():
    with pytest.raises(OutOfTime), time_limit(0.2):
        while True:
            try:
                time.sleep(60)
            except Exception:
                pass


def test_a_loop_outside_of_the_main_thread_is_stopped():
    outcome = []

    def work():
        try:
            with time_limit(0.2):
                spin()
        except OutOfTime:
            outcome.append("stopped")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(timeout=30)
    assert outcome == ["stopped"]


def test_nothing_is_raised_after_the_block():
    with time_limit(0.1):
        pass
    time.sleep(0.3)
