"""Times Transkun beside the published package: warm and stage by stage, then each from its process's start to its end, for the memory.

Sides take turns, round by round, on the same recording and with the same number of threads, and must find the same notes and pedals (all but 2 % at
most), else the run is void. It ends with what was promised (1.6 times as fast, less than half of the memory), and with status 1 if some of it was not kept. How much of the processor each uses is told in multiply-adds beside a matrix product (torch's) and beside multiply-adds on registers alone, both
measured between the rounds. Settings come from the environment: THREADS (all cores), ROUNDS (5), LENGTH (40 seconds), WTT (target/release/wtt).

usage: beside_transkun.py [FILE]
"""

import importlib.util
import os
import pathlib
import sys
import tempfile

import models
from beside_harmonica import Product

# There is another module of this name, which is loaded already.
_file = pathlib.Path(__file__).resolve().parent.parent / "parity" / "transkun" / "make_recordings.py"
_spec = importlib.util.spec_from_file_location("piano_recordings", _file)
make_recordings = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(make_recordings)
sys.path.insert(0, str(_file.parent))
import compare  # noqa: E402

ROUNDS = int(os.environ.get("ROUNDS", "5"))
LENGTH = float(os.environ.get("LENGTH", "40"))
STAGES = ("decode", "network", "notes", "whole")
TIMES, SHARE_OF_MEMORY = 1.6, 0.5
# Multiply-adds of a segment as the network is written, from the layers' shapes (thousands of millions): front end and heads not counted.
WRITTEN = 176.7


def recording(folder):
    piece = make_recordings.Piece(models.SEED)
    make_recordings.broken_chords(piece, 0.3, LENGTH / 2)
    make_recordings.runs(piece, 0.3 + LENGTH / 2, LENGTH / 2 - 2)
    return make_recordings.render(piece, folder / "piano.wav", "fluid", 44100)


def pairs(theirs, found):
    """How many events of theirs have one of ours: the same key or pedal and velocity, start and end within a millisecond, which is what float32
    seconds may move. One that is missing costs itself alone."""
    left, equal = compare.by_symbol(found), 0
    for symbol, events in compare.by_symbol(theirs).items():
        for start, end, velocity in events:
            ours = left.get(symbol, [])
            for other in ours:
                if max(abs(start - other[0]), abs(end - other[1])) <= compare.TOLERANCE and velocity == other[2]:
                    ours.remove(other)
                    equal += 1
                    break
    return equal


def main(path=None):
    import torch

    here = pathlib.Path(__file__)
    print(f"bench: transkun 2.0.1 on torch {torch.__version__} beside {models.WTT}, {models.THREADS} threads, {ROUNDS} rounds, seed {models.SEED}", flush=True)
    with tempfile.TemporaryDirectory(prefix="wtt-bench-") as name:
        folder = pathlib.Path(name)
        path = pathlib.Path(path) if path else recording(folder)
        package = [sys.executable, str(here.with_name("transkun_side.py")), str(models.THREADS)]
        sides = [
            models.Side("ours", [models.WTT, "debug", "transkun-bench", "--threads", str(models.THREADS)]),
            models.Side("package", package),
        ]
        rounds = {side.name: [] for side in sides}
        sides[0].round(path)  # warm up, not counted
        theirs_found = sides[1].notes(path)
        product = Product()
        for _ in range(ROUNDS):
            for side in sides:
                rounds[side.name].append(side.round(path))
            product.measure()
        for side in sides:
            side.end()
        ours, theirs = rounds["ours"], rounds["package"]
        seconds, segments = ours[0]["audio_seconds"], ours[0]["segments"]
        print(f"\n{seconds:.1f} s of piano, {segments} segments, {ROUNDS} rounds in turns; seconds, median (range)")
        print(f"  {'stage':9}{'ours':28}{'package':28}package to ours")
        for stage in STAGES:
            print(f"  {stage:9}{models.cell(ours, stage):28}{models.cell(theirs, stage):28}{models.middle(theirs, stage) / models.middle(ours, stage):5.1f}x")
        print("  real time " + "".join(f"{seconds / models.middle(side, 'whole'):6.1f}x{'':21}" for side in (ours, theirs)))
        # A round of ours goes through everything twice: stage by stage, then through the engine.
        cpu = [models.middle(ours, "cpu") / 2, models.middle(theirs, "cpu")]
        print(f"  CPU seconds a round: ours {cpu[0]:.2f}, package {cpu[1]:.2f}: {cpu[1] / cpu[0]:.1f}x")
        counted = [sorted({round_["counted"] for round_ in side}) for side in (ours, theirs)]
        found = compare.ours(path)
        equal = pairs(theirs_found, found)
        models.same_notes(len(theirs_found), len(found), equal, {"ours": counted[0], "package": counted[1]})
        promises = models.Promises()
        promises.times(f"{seconds:.0f} s, warm", models.middle(theirs, "whole") / models.middle(ours, "whole"), TIMES)
        ceiling = max(round_["ceiling"] for round_ in ours)
        best = [min(round_["network"] for round_ in side) for side in (ours, theirs)]
        print(f"  {'multiply-adds':40}{'10^9 a second':>15}{'of the ceiling':>16}{'of the product':>16}")
        for label, rate in [
            ("registers alone: the ceiling", ceiling),
            ("a product of 2048 x 2048 matrices, torch", product.rate()),
            ("our network, done", ours[0]["products"] / best[0]),
            ("our network, as it is written", WRITTEN * 1e9 * segments / best[0]),
            ("the package's, as it is written", WRITTEN * 1e9 * segments / best[1]),
        ]:
            print(f"  {label:40}{rate / 1e9:15.1f}{rate / ceiling:16.0%}{rate / product.rate():16.0%}")
        cold = {
            "ours": models.cold([models.WTT, "transcribe", path, "-o", folder / "ours.mid", "--force", "--model", "transkun", "--threads", str(models.THREADS)]),
            "package": models.cold([*package, path, folder / "package.json"]),
        }
        print("\nfrom a process's start to its end")
        for who, run in cold.items():
            print(f"  {who:9}{run['wall']:7.1f} s, CPU {run['cpu']:7.1f} s, peak {run['peak']:6.0f} MB")
        print(f"  ours to the package's: {cold['package']['wall'] / cold['ours']['wall']:.1f}x as fast, {cold['ours']['peak'] / cold['package']['peak']:.0%} of its memory")
        share = cold["ours"]["peak"] / cold["package"]["peak"]
        promises.hold(f"peak memory below {SHARE_OF_MEMORY:.0%} of the package's", f"{share:.0%}", share < SHARE_OF_MEMORY)
    promises.end()


if __name__ == "__main__":
    main(*sys.argv[1:])
