"""Times Basic Pitch beside the published package on onnxruntime: warm and stage by stage, cold from command to file, memory, an hour.

Both sides take turns, round by round, on the same recordings and with the same number of threads. All but 2 % of their notes must be equal (`same_notes`), else the run
is void. It ends with what was promised, and with status 1 if some of it was not kept: on recordings of 40 s and more at least 3 times as fast, warm and with
the same threads, and 5 times cold; an hour in less than 600 MB.
Settings come from the environment: THREADS (all cores), ROUNDS (7; fewer for long recordings), WTT (target/release/wtt), HOUR=0 leaves the hour out.

usage: models.py [SECONDS...]
"""

import collections
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "parity"))
import make_recordings  # noqa: E402

SEED = 1
RATE = 44100
THREADS = int(os.environ.get("THREADS", "0")) or len(os.sched_getaffinity(0))
ROUNDS = int(os.environ.get("ROUNDS", "7"))
WTT = os.environ.get("WTT", "target/release/wtt")
STAGES = ("decode", "network", "notes", "whole")
# Counted from the layers' shapes: as the network is written, and as we compute it (see docs/performance.md).
WRITTEN_GFLOP, DONE_GFLOP = 1.05, 0.44
TICK = os.sysconf("SC_CLK_TCK")
WARM_TIMES, COLD_TIMES, HOUR_MB = 3, 5, 600
# The promises are about music, not about the start of a program.
PROMISED_FROM_SECONDS = 40
# Of all notes, those that may differ before a run is void: values within a hair of an edge, each of which `make parity` would list.
MAY_DIFFER = 0.02


class Promises:
    """What was asked for, and whether this run kept it: told at the end, so that a run that fails has printed all it saw."""

    def __init__(self):
        self.lines, self.broken = [], 0

    def hold(self, what, seen, kept):
        self.lines.append(f"  {'kept' if kept else 'NOT KEPT':10}{what}: {seen}")
        self.broken += not kept

    def times(self, what, ratio, least):
        self.hold(f"{what}, at least {least:g} times as fast", f"{ratio:.2f} times", ratio >= least)

    def memory(self, what, megabytes, limit):
        self.hold(f"{what}, peak memory below {limit:g} MB", f"{megabytes:.0f} MB", megabytes < limit)

    def end(self):
        print("\n".join(["", "promised", *self.lines]), flush=True)
        if self.broken:
            sys.exit(f"bench: {self.broken} of {len(self.lines)} promises NOT KEPT")
        print(f"bench: all {len(self.lines)} promises kept")


def equal_notes(theirs, ours):
    """How many notes are the same in all their fields."""
    return (collections.Counter(theirs) & collections.Counter(ours)).total()


def same_notes(theirs, ours, equal, counted):
    """Voids the run where the two sides found other notes: `equal` are the same in key, start, end and velocity, `counted` those of the rounds by side."""
    print("  notes: " + ", ".join(f"{name} {numbers}" for name, numbers in counted.items()))
    differ = max(theirs, ours) - equal
    print(f"  one by one (key, start, end, velocity): {equal} of {theirs} equal, {theirs - equal} only the package's, {ours - equal} only ours", flush=True)
    most = MAY_DIFFER * max(theirs, ours)
    strays = [number for numbers in counted.values() for number in numbers if abs(number - theirs) > most]
    if differ > most or strays or not theirs:
        sys.exit(f"bench: VOID, the notes are not the same: {differ} differ, at most {most:.0f} may")


def piano(seconds):
    """Chords and runs of struck strings, one to three notes at a time."""
    random = np.random.default_rng(SEED)
    out, tones, now = np.zeros(int(seconds * RATE)), {}, 0.2
    while now < seconds - 0.3:
        for _ in range(random.integers(1, 4)):
            key = int(random.integers(33, 96)), float(random.choice([0.4, 0.8, 1.6]))
            if key not in tones:
                tones[key] = make_recordings.struck(*key, RATE)
            start = int(now * RATE)
            out[start : start + len(tones[key])] += (tones[key] * random.uniform(0.3, 1))[: len(out) - start]
        now += float(random.choice([0.125, 0.25, 0.25, 0.5]))
    return out * 0.5


class Ended(SystemExit):
    """A side ended before it answered; the run ends with these words, where nobody expected it."""


class Side:
    """A program that runs one round for each path it is given."""

    def __init__(self, name, command):
        self.name = name
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def round(self, path):
        before = self.cpu_seconds()
        print(path, file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        if not line:
            raise Ended(f"bench: {self.name} ended: {self.process.wait()}")
        return {**json.loads(line), "cpu": self.cpu_seconds() - before}

    def notes(self, path):
        """The notes that it finds, in a round that does not count."""
        return [tuple(note) for note in self.round(f"{path}\tnotes")["found"]]

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def middle(rounds, stage):
    return statistics.median(round_[stage] for round_ in rounds)


def cell(rounds, stage):
    values = [round_[stage] for round_ in rounds]
    return f"{statistics.median(values):8.3f} ({min(values):.3f}-{max(values):.3f})"


def our_notes(arguments, folder):
    """What `wtt debug` finds with the package's own steps, each note as the package's side gives it."""
    subprocess.run([WTT, "debug", *arguments, "--dump", folder], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    found = json.loads((folder / "notes.json").read_text())
    return [(note["pitch"], note["start_frame"], note["end_frame"], note["velocity"]) for note in found]


def warm(sides, path, seconds, folder, promises):
    count = ROUNDS if seconds <= 120 else max(2, ROUNDS // 2)
    rounds = {side.name: [] for side in sides}
    sides[0].round(path)  # warm up, not counted; the others warm up with their notes
    theirs = [side.notes(path) for side in sides[1:]][0]
    for _ in range(count):
        for side in sides:
            rounds[side.name].append(side.round(path))
    ours, *others = rounds.values()
    print(f"\n{seconds:g} s of piano, {ours[0]['windows']} windows, {count} rounds in turns; seconds, median (range), and how many times ours")
    print(f"  {'':9}" + "".join(f"{name:34}" for name in rounds))
    for stage in STAGES:
        times = [f"{cell(other, stage)} {middle(other, stage) / middle(ours, stage):.1f}x" for other in others]
        print(f"  {stage:9}{cell(ours, stage):34}" + "".join(f"{time_:34}" for time_ in times))
    print(f"  {'real time':9}" + "".join(f"{seconds / middle(side, 'whole'):7.0f}x{'':26}" for side in rounds.values()))
    # A round of ours goes through everything twice: stage by stage, then through the engine.
    used = [middle(ours, "cpu") / 2] + [middle(other, "cpu") for other in others]
    print(f"  {'CPU':9}" + "".join(f"{f'{seconds_:8.2f} s, {seconds_ / used[0]:.1f}x':34}" for seconds_ in used))
    mine = our_notes(["basic-pitch", path, "--parity"], folder)
    counted = {name: sorted({round_["counted"] for round_ in side}) for name, side in rounds.items()}
    same_notes(len(theirs), len(mine), equal_notes(theirs, mine), counted)
    if seconds >= PROMISED_FROM_SECONDS:
        promises.times(f"{seconds:g} s, warm", middle(others[0], "whole") / middle(ours, "whole"), WARM_TIMES)
    return [min(round_["network"] for round_ in side) / ours[0]["windows"] for side in (ours, others[0])]


# A process of its own, since the peak that the system tells of a command is at least that of the process which started it.
MEASURE = """
import json, os, subprocess, sys, time
begun = time.perf_counter()
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
wall = time.perf_counter() - begun
process.returncode = os.waitstatus_to_exitcode(status)
print(json.dumps({"wall": wall, "cpu": usage.ru_utime + usage.ru_stime, "peak": usage.ru_maxrss * 1024 / 1e6, "code": process.returncode}))
"""


def cold(command):
    """Wall seconds, CPU seconds and peak MB of a command from its start to its end."""
    measured = json.loads(subprocess.run([sys.executable, "-c", MEASURE, *command], check=True, capture_output=True, text=True).stdout)
    if measured["code"]:
        sys.exit(f"bench: {command} failed with {measured['code']}")
    return measured


def ours_cold(path, folder):
    return [WTT, "transcribe", path, "-o", folder / "ours.mid", "--force", "--parity", "--threads", str(THREADS)]


def cold_commands(path, seconds, folder, promises):
    package = folder / "package"
    package.mkdir(exist_ok=True)
    rounds = {"ours": [], "package": []}
    for _ in range(1 + (ROUNDS if seconds <= 120 else 1)):
        for old in package.iterdir():
            old.unlink()
        rounds["ours"].append(cold(ours_cold(path, folder)))
        rounds["package"].append(cold([pathlib.Path(sys.executable).parent / "basic-pitch", package, path]))
        if not list(package.glob("*.mid")):
            sys.exit("bench: the package's command wrote no MIDI file")
    print(f"\ncold commands on {seconds:g} s, start to file written, the first round not counted; median (range)")
    for name in rounds:
        kept = rounds[name][1:]
        print(f"  {name:9}{cell(kept, 'wall')} s, CPU {middle(kept, 'cpu'):.2f} s, peak {middle(kept, 'peak'):.0f} MB")
    ratio = middle(rounds["package"][1:], "wall") / middle(rounds["ours"][1:], "wall")
    print(f"  ratio    {ratio:.1f}x")
    if seconds >= PROMISED_FROM_SECONDS:
        promises.times(f"{seconds:g} s, cold command", ratio, COLD_TIMES)


def matrix_product(size=2048):
    """GFLOP/s of numpy's float32 product, best of some."""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": str(THREADS)}
    program = (
        f"import numpy, time; a = numpy.random.rand({size}, {size}).astype('f4'); a @ a; best = 9e9\n"
        f"for _ in range(10):\n    t = time.perf_counter(); a @ a; best = min(best, time.perf_counter() - t)\n"
        f"print(2 * {size}**3 / best / 1e9)"
    )
    return float(subprocess.run([sys.executable, "-c", program], env=environment, check=True, capture_output=True, text=True).stdout)


def main(lengths):
    import onnxruntime

    print(f"bench: basic-pitch 0.4.0 on onnxruntime {onnxruntime.__version__} beside {WTT}, {THREADS} threads, {ROUNDS} rounds, seed {SEED}")
    print("bench: the package's session is made anew with intra_op_num_threads set, and once as the package makes it (its default)")
    package = [sys.executable, str(HERE / "package_side.py")]
    sides = [
        Side("ours", [WTT, "debug", "bench", "--threads", str(THREADS)]),
        Side(f"package, {THREADS} threads", [*package, str(THREADS)]),
        Side("package, its default", [*package, "0"]),
    ]
    promises = Promises()
    with tempfile.TemporaryDirectory(prefix="wtt-bench-") as name:
        folder = pathlib.Path(name)
        paths = {}
        for seconds in lengths:
            paths[seconds] = folder / f"piano-{seconds:g}.wav"
            make_recordings.write_wav(paths[seconds], piano(seconds), RATE)
        # A long recording takes the package minutes, and its own session behaves as in the short ones.
        windows = [warm(sides if seconds <= 120 else sides[:2], paths[seconds], seconds, folder / "found", promises) for seconds in lengths]
        for side in sides:
            side.end()
        peak = matrix_product()
        ours, theirs = (min(times) for times in zip(*windows))
        print(f"\na product of 2048 x 2048 matrices with {THREADS} threads: {peak:.0f} GFLOP/s")
        print(f"  the network as written ({WRITTEN_GFLOP} GFLOP a window), best round: ours {WRITTEN_GFLOP / ours:.0f} GFLOP/s, {WRITTEN_GFLOP / ours / peak:.0%}; package {WRITTEN_GFLOP / theirs:.0f} GFLOP/s, {WRITTEN_GFLOP / theirs / peak:.0%}")
        print(f"  the arithmetic that we do ({DONE_GFLOP} GFLOP a window): ours {DONE_GFLOP / ours:.0f} GFLOP/s, {DONE_GFLOP / ours / peak:.0%}")
        for seconds in lengths:
            cold_commands(paths[seconds], seconds, folder, promises)
        if os.environ.get("HOUR") != "0":
            part = piano(600)
            make_recordings.write_wav(folder / "hour.wav", np.concatenate([part * gain for gain in (1, 0.9, 0.8, 0.7, 0.6, 0.5)]), RATE)
            hour = cold(ours_cold(folder / "hour.wav", folder))
            print(f"\nan hour, ours: {hour['wall']:.1f} s ({3600 / hour['wall']:.0f}x real time), CPU {hour['cpu']:.1f} s, peak {hour['peak']:.0f} MB")
            promises.memory("an hour", hour["peak"], HOUR_MB)
    promises.end()


if __name__ == "__main__":
    main([float(seconds) for seconds in sys.argv[1:]] or [40.0, 600.0])
