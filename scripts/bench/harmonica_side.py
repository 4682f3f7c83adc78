"""The published package's side of the benchmark of Harmonica: a path a line on standard input, a line of JSON with its stages' seconds for each. A tab and the
word `notes` behind the path ask for the notes as well: pitch, first and last frame, velocity.

usage: harmonica_side.py SIZE THREADS bfloat16|float32
"""

import json
import os
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "parity" / "harmonica"))
# The package may print; standard output is for the answers alone.
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)

from reference import Package  # noqa: E402


def run(package, path, notes_too=False):
    """Its own steps, with a clock between them."""
    inside = package.model.model
    spectrum_seconds = []
    real = type(inside).spectrogram

    def timed(audio):
        begun = time.perf_counter()
        result = real(inside, audio)
        spectrum_seconds.append(time.perf_counter() - begun)
        return result

    inside.spectrogram = timed
    clock = [time.perf_counter()]
    samples = package.samples(path)
    clock.append(time.perf_counter())
    maps = package.maps(samples)
    clock.append(time.perf_counter())
    notes = package.notes(maps)
    clock.append(time.perf_counter())
    decode, network, finding = (after - before for before, after in zip(clock, clock[1:]))
    spectrum = sum(spectrum_seconds)
    answer = {
        "decode": decode,
        "spectrum": spectrum,
        "network": network - spectrum,
        "notes": finding,
        "whole": clock[-1] - clock[0],
        "counted": len(notes),
        "audio_seconds": len(samples) / 16000,
    }
    found = [(note.pitch, note.start_frame, note.end_frame, note.velocity) for note in notes]
    return {**answer, "found": found} if notes_too else answer


def main(size, threads, mode):
    package = Package(size, int(threads), bfloat16=mode == "bfloat16")
    for line in sys.stdin:
        path, _, word = line.rstrip("\n").partition("\t")
        print(json.dumps(run(package, path, word == "notes")), file=answers, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
