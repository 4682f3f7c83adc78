"""Times Harmonica beside the published package in both of its modes: warm and stage by stage, then an hour's memory.

Sides take turns, round by round, on the same recording and with the same number of threads. The package in float32 must find the same notes (all but 2 % at most), else the
run is void; in its default, bfloat16, it finds others, and does not run at all on processors for which oneDNN has no bfloat16 LSTM (those without AVX-512). How much of the processor each uses is told in multiply-adds that are really done (by the package:
as the network is written), beside a matrix product and beside multiply-adds on registers alone, both measured between the rounds. Settings come from the environment: THREADS (all cores), ROUNDS (5), SECONDS (40),
WTT (target/release/wtt), HOUR=0 leaves the hour out.

It ends with what was promised, and with status 1 if some of it was not kept: each size at least twice as fast as the faster of the package's modes, and an
hour in less than 1 GB.

usage: beside_harmonica.py [SIZE...]
"""

import os
import pathlib
import sys
import tempfile
import time

import models
import numpy as np
import torch

ROUNDS = int(os.environ.get("ROUNDS", "5"))
SECONDS = float(os.environ.get("SECONDS", "40"))
STAGES = ("decode", "spectrum", "network", "notes", "whole")
TIMES, HOUR_MB = 2, 1000
# Multiply-adds a second of audio, from the layers' shapes, without the head that nobody asks (thousands of millions).
GIGA_PRODUCTS = {"nano": 0.154, "small": 0.799, "medium": 3.93, "large": 18.7, "x-large": 86.6}


class Product:
    """torch's float32 product of two 2048 x 2048 matrices, the best of all that were tried."""

    SIZE = 2048

    def __init__(self):
        torch.set_num_threads(models.THREADS)
        self.a = torch.rand(self.SIZE, self.SIZE)
        self.best = float("inf")
        self.measure()

    def measure(self):
        for _ in range(3):
            begun = time.perf_counter()
            self.a @ self.a
            self.best = min(self.best, time.perf_counter() - begun)

    def rate(self):
        return self.SIZE**3 / self.best


def shares(size, product, ours, package):
    """Multiply-adds a second, and what part they are of what the processor does if there is nothing else to do."""
    ceiling = max(round_["ceiling"] for round_ in ours)
    seconds = ours[0]["audio_seconds"]
    written = GIGA_PRODUCTS[size] * 1e9 * seconds
    rows = [
        ("registers alone: the ceiling", ceiling),
        ("a product of 2048 x 2048 matrices", product.rate()),
        ("our network, done", ours[0]["products"] / min(round_["network"] for round_ in ours)),
        ("our network, as it is written", written / min(round_["network"] for round_ in ours)),
        ("our spectrum, done", ours[0]["spectrum_products"] / min(round_["spectrum"] for round_ in ours)),
    ]
    rows += [(f"the package's network in {mode}, as it is written", written / min(round_["network"] for round_ in rounds)) for mode, rounds in package.items()]
    print(f"  {'multiply-adds':52}{'10^9 a second':>15}{'of the ceiling':>16}{'of the product':>16}")
    for name, rate in rows:
        print(f"  {name:52}{rate / 1e9:15.1f}{rate / ceiling:16.0%}{rate / product.rate():16.0%}")
    print(f"  our network does {ours[0]['products'] / written:.0%} of the multiply-adds that are written")


def compare(size, path, folder, promises):
    package = [sys.executable, str(pathlib.Path(__file__).with_name("harmonica_side.py")), size, str(models.THREADS)]
    sides = [
        models.Side("ours", [models.WTT, "debug", "harmonica-bench", "--model", f"harmonica:{size}", "--threads", str(models.THREADS)]),
        models.Side("float32", [*package, "float32"]),
        models.Side("bfloat16", [*package, "bfloat16"]),
    ]
    theirs = []
    for side in list(sides):
        try:
            # Warm up, not counted.
            if side.name == "float32":
                theirs = side.notes(path)
            else:
                side.round(path)
        except models.Ended:
            # Only where that is known: elsewhere a package without its faster mode would make ours look good.
            if side.name != "bfloat16" or "AVX512" in torch.backends.cpu.get_cpu_capability():
                raise
            print("bench: the package's bfloat16 mode does not run on this processor, which has no AVX-512 (its words stand above): not measured", flush=True)
            sides.remove(side)
    rounds = {side.name: [] for side in sides}
    product = Product()
    for _ in range(ROUNDS):
        for side in sides:
            rounds[side.name].append(side.round(path))
        product.measure()
    for side in sides:
        side.end()
    table(size, rounds["ours"], {name: package for name, package in rounds.items() if name != "ours"}, promises)
    mine = models.our_notes(["harmonica", path, "--model", f"harmonica:{size}", "--threads", str(models.THREADS)], folder)
    counted = {name: sorted({round_["counted"] for round_ in rounds[name]}) for name in ("ours", "float32")}
    models.same_notes(len(theirs), len(mine), models.equal_notes(theirs, mine), counted)
    shares(size, product, rounds.pop("ours"), rounds)


def table(size, ours, package, promises):
    seconds = ours[0]["audio_seconds"]
    print(f"\nharmonica:{size}, {seconds:g} s of piano, {ROUNDS} rounds in turns; seconds, median (range)")
    print(f"  {'stage':9}{'ours':28}" + "".join(f"{'package, ' + mode:28}" for mode in package) + "the faster one to ours")
    for stage in STAGES:
        faster = min(models.middle(rounds, stage) for rounds in package.values())
        cells = "".join(f"{models.cell(rounds, stage):28}" for rounds in (ours, *package.values()))
        print(f"  {stage:9}{cells}{faster / models.middle(ours, stage):5.1f}x")
    print("  real time " + "".join(f"{seconds / models.middle(rounds, 'whole'):6.0f}x{'':20}" for rounds in (ours, *package.values())))
    # A round of ours goes through everything twice: stage by stage, then through the engine.
    cpu, theirs = models.middle(ours, "cpu") / 2, {mode: models.middle(rounds, "cpu") for mode, rounds in package.items()}
    told = "".join(f", {mode} {seconds_:.2f}" for mode, seconds_ in theirs.items())
    print(f"  CPU seconds a round: ours {cpu:.2f}{told}: the thriftier one to ours {min(theirs.values()) / cpu:.1f}x")
    if "bfloat16" in package:
        print(f"  notes in bfloat16, which are others: {sorted({round_['counted'] for round_ in package['bfloat16']})}")
    faster = min(models.middle(rounds, "whole") for rounds in package.values())
    promises.times(f"harmonica:{size}, {seconds:g} s, the faster of the package's modes", faster / models.middle(ours, "whole"), TIMES)


def main(sizes):
    print(f"bench: harmonica-amt 0.3.0 on torch {torch.__version__} beside {models.WTT}, {models.THREADS} threads, {ROUNDS} rounds, seed {models.SEED}", flush=True)
    promises = models.Promises()
    with tempfile.TemporaryDirectory(prefix="wtt-bench-") as name:
        folder = pathlib.Path(name)
        path = folder / "piano.wav"
        models.make_recordings.write_wav(path, models.piano(SECONDS), models.RATE)
        for size in sizes:
            compare(size, path, folder / "found", promises)
        if os.environ.get("HOUR") != "0":
            part = models.piano(600)
            models.make_recordings.write_wav(folder / "hour.wav", np.concatenate([part * gain for gain in (1, 0.9, 0.8, 0.7, 0.6, 0.5)]), models.RATE)
            for size in sizes:
                command = [models.WTT, "transcribe", folder / "hour.wav", "-o", folder / "hour.mid", "--force", "--model", f"harmonica:{size}", "--threads", str(models.THREADS)]
                hour = models.cold(command)
                print(f"\nan hour, harmonica:{size}: {hour['wall']:.1f} s ({3600 / hour['wall']:.0f}x real time), CPU {hour['cpu']:.1f} s, peak {hour['peak']:.0f} MB", flush=True)
                promises.memory(f"an hour, harmonica:{size}", hour["peak"], HOUR_MB)
    promises.end()


if __name__ == "__main__":
    main(sys.argv[1:] or ["nano", "small", "medium"])
