"""fastup._threads: order, errors at their item, and nothing begun once the loop is left."""

import contextlib
import gc
import threading
import time

import pytest

from fastup._threads import Pool, in_order, on_threads


def test_results_come_in_order_and_items_are_taken_as_they_are_needed():
    taken = []

    def items():
        for n in range(30):
            taken.append(n)
            yield n

    def work(n):
        time.sleep(0.002 * (n % 3))
        return n, threading.current_thread()

    results = in_order(work, items(), threads=3, ahead=4)
    assert taken == []
    assert next(results)[0] == 0
    assert taken == [0, 1, 2, 3, 4]
    rest = list(results)
    assert [n for n, _ in rest] == list(range(1, 30))
    assert threading.main_thread() not in {thread for _, thread in rest}
    assert list(in_order(work, [])) == []


@pytest.mark.parametrize("where", ["work", "items"])
def test_an_error_comes_at_its_item_after_those_before(where):
    def items():
        for n in range(9):
            if where == "items" and n == 5:
                raise OSError("item 5")
            yield n

    def work(n):
        time.sleep(0.01 if n < 5 else 0)
        if where == "work" and n == 5:
            raise OSError("item 5")
        return n

    found = []

    def collect():
        for result in in_order(work, items(), threads=3):
            found.append(result)

    with pytest.raises(OSError, match="item 5"):
        collect()
    assert found == [0, 1, 2, 3, 4]


def test_nothing_is_begun_once_the_loop_is_left():
    begun, ended = [], []

    def work(n):
        begun.append(n)
        time.sleep(0.02)
        ended.append(n)

    results = in_order(work, range(1000), threads=2, ahead=200)
    next(results)
    results.close()
    count = len(begun)
    time.sleep(0.05)
    assert len(begun) == len(ended) == count < 200  # of 201 that wait; and what was under way is finished


@contextlib.contextmanager
def pooled(work):
    """As `in_order`, in another way: a context."""
    with Pool(1) as pool:
        futures = [pool.submit(work, n) for n in range(3)]
        yield futures[0].result()


@pytest.mark.parametrize("where", ["beside", "on a thread of it"])
@pytest.mark.parametrize("kind", ["loop", "context"])
def test_garbage_is_collected_without_a_wait(kind, where):
    """Python collects garbage within anything, be it a lock that the pool's threads need, or such a thread itself."""
    left, collected, waited = threading.Event(), threading.Event(), []

    def work(n):
        if n == 1:
            left.wait(60)
            if where == "beside":
                waited.append(not collected.wait(60))
            else:
                gc.collect()
                collected.set()
        return n

    results = in_order(work, range(3), threads=1) if kind == "loop" else pooled(work)
    assert (next(results) if kind == "loop" else results.__enter__()) == 0
    cycle = [results]
    cycle.append(cycle)
    del results, cycle
    left.set()
    if where == "beside":
        gc.collect()
        collected.set()
    assert collected.wait(60)
    assert True not in waited


def test_progress_reaches_the_total_and_may_stop_it():
    told, made = [], []
    on_threads(made.append, range(7), "counting", lambda *progress: told.append(progress))
    assert told == [(n, 7, "counting") for n in range(1, 8)]
    assert sorted(made) == list(range(7))

    def stop(done, total, what):
        raise KeyboardInterrupt

    made.clear()
    with pytest.raises(KeyboardInterrupt):
        on_threads(lambda n: time.sleep(0.01) or made.append(n), range(1000), "counting", stop)
    count = len(made)
    time.sleep(0.05)
    assert len(made) == count < 100
