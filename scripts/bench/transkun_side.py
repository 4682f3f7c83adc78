"""The published package's side of the benchmark of Transkun: a path a line on standard input, a line of JSON with its stages' seconds for each. A tab and the
word `notes` behind the path ask for the notes and pedals as well: start, end, pitch, velocity.

usage: transkun_side.py THREADS
       transkun_side.py THREADS FILE OUT   (one recording from the process's start to its end, notes written as JSON: for the memory)
"""

import json
import os
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "parity" / "transkun"))
# The package may print; standard output is for the answers alone.
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)

from reference import Package  # noqa: E402


def run(package, path, notes_too=False):
    """Its own steps, with a clock around the network's part of each segment."""
    inside = []
    real = type(package.model).processFramesBatch

    def timed(frames):
        begun = time.perf_counter()
        result = real(package.model, frames)
        inside.append(time.perf_counter() - begun)
        return result

    package.model.processFramesBatch = timed
    clock = [time.perf_counter()]
    samples = package.samples(path)
    clock.append(time.perf_counter())
    events = package.events(samples)
    clock.append(time.perf_counter())
    network = sum(inside)
    answer = {
        "decode": clock[1] - clock[0],
        "network": network,
        "notes": clock[2] - clock[1] - network,
        "whole": clock[2] - clock[0],
        "counted": len(events),
        "segments": len(inside),
        "audio_seconds": len(samples) / package.model.fs,
    }
    return {**answer, "found": events} if notes_too else answer


def main(threads, path=None, out=None):
    package = Package(int(threads))
    if path:
        pathlib.Path(out).write_text(json.dumps(package.events(package.samples(path))))
        return
    for line in sys.stdin:
        path, _, word = line.rstrip("\n").partition("\t")
        print(json.dumps(run(package, path, word == "notes")), file=answers, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
