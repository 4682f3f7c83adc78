"""One contender of bench-queue: the cycle of RQ, enqueue one by one, then process and acknowledge.

It speaks the contenders' protocol: "ready" after a warm-up, then it waits for a line, measures, and prints one line of JSON. Its
default worker forks for every task; with --simple it runs them in the worker itself.
"""

import argparse
import json
import logging
import multiprocessing
import resource
import sys
import threading
import time

from redis import Redis
from rq import Queue, SimpleWorker, Worker

import work


def connect(options: argparse.Namespace) -> Redis:
    return Redis(port=options.port) if options.port else Redis(unix_socket_path=options.socket)


def enqueue(options: argparse.Namespace, phase: str, count: int) -> None:
    body = "x" * options.payload

    def producer(first: int) -> None:
        queue = Queue("cycle", connection=connect(options))
        for n in range(first, count, options.clients):
            queue.enqueue(work.nothing, body, job_id=f"{phase}-{n}")

    threads = [threading.Thread(target=producer, args=(first,)) for first in range(options.clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def run_worker(options: argparse.Namespace) -> None:
    logging.disable(logging.CRITICAL)
    kind = SimpleWorker if options.simple else Worker
    queue = Queue("cycle", connection=connect(options))
    kind([queue], connection=queue.connection).work(burst=True, logging_level="CRITICAL")


def drain(options: argparse.Namespace) -> float:
    start = time.monotonic()
    workers = [multiprocessing.Process(target=run_worker, args=(options,)) for _ in range(options.clients)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return time.monotonic() - start


def processor_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--socket")
    parser.add_argument("--port", type=int)
    for number in ("--tasks", "--warm-up", "--clients", "--payload"):
        parser.add_argument(number, type=int, required=True)
    parser.add_argument("--simple", action="store_true")
    options = parser.parse_args()
    multiprocessing.set_start_method("fork")

    enqueue(options, "warm", options.warm_up)
    drain(options)
    print("ready", flush=True)
    sys.stdin.readline()

    before = processor_seconds()
    start = time.monotonic()
    enqueue(options, "task", options.tasks)
    enqueue_seconds = time.monotonic() - start
    drain_seconds = drain(options)
    cpu_seconds = processor_seconds() - before

    queue = Queue("cycle", connection=connect(options))
    finished = [name for name in queue.finished_job_registry.get_job_ids() if name.startswith("task-")]
    settled = len(queue) + len(queue.started_job_registry) + len(queue.failed_job_registry) == 0
    print(
        json.dumps({
            "finished": len(finished),
            "distinct": len(set(finished)),
            "settled": settled,
            "enqueue_seconds": enqueue_seconds,
            "drain_seconds": drain_seconds,
            "cpu_seconds": cpu_seconds,
        })
    )


main()
