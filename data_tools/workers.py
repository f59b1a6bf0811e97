"""Runs tasks in worker processes."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import forkserver
from typing import TypeVar

from stroke_tf.ctrl_c import held, left_to_this_process
from stroke_tf.machine import reuse_memory

_Task = TypeVar("_Task")
_Result = TypeVar("_Result")

_WAITING_PER_JOB = 4


def start_ahead() -> None:
    """Starts the server that forks worker processes, so that it imports while this process does.

    Workers then need no imports of their own, and no process that runs threads is forked.
    """
    multiprocessing.set_forkserver_preload(["data_tools.spool", "tyro"])  # tyro: of every command
    with left_to_this_process():
        forkserver.ensure_running()


def run_tasks(
    function: Callable[[_Task], _Result], tasks: Iterator[_Task], *, jobs: int
) -> Iterator[_Result]:
    """Yields the result of each task as it is done, in any order; memory does not grow with tasks.

    Args:
        function: A function of a module, so that worker processes can import it.
        tasks: The arguments of the calls.
        jobs: Worker processes; 1 runs in this process.

    Raises:
        RuntimeError: If a worker process was killed.
    """
    if jobs == 1:
        yield from map(function, tasks)
        return
    start_ahead()
    context = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=_start_worker) as pool:
        waiting: set[Future[_Result]] = set()
        try:
            for task in tasks:
                with held():  # `submit` may start a worker
                    waiting.add(pool.submit(function, task))
                if len(waiting) >= jobs * _WAITING_PER_JOB:
                    done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                    yield from (future.result() for future in done)
            while waiting:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        except BrokenProcessPool as error:
            raise RuntimeError(
                "a worker process was killed, perhaps for want of memory: run the same command "
                "again with fewer --jobs, and it continues"
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _start_worker() -> None:
    import cv2  # imported here, so that `--help` does not wait for it

    cv2.setNumThreads(1)
    reuse_memory()
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)  # a killed parent cannot stop its workers
