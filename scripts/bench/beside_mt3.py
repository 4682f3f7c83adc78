"""Times MT3 beside PyTorch on the same random weights of the published size, with lengths that are forced, so that all do the same work.

Parts, both of them without a word: `equal` has all segments equally long, and runs the PyTorch port's way (no cache, one segment at a time) too, compared by
the segment; `ragged` draws the lengths from 64 to 512. Beside both: a PyTorch decoder of the same shape with a preallocated cache and static batches. Sides
take turns with the same number of threads. Ours is timed from samples, PyTorch from frames, which it gets for nothing. The run is void where a segment has
another number of tokens than was forced, or where the networks differ at more than a near-tie (two best scores within 1e-4).
Settings come from the environment: THREADS (all cores), ROUNDS (2), ROWS (64), TOKENS (128 512: those of `equal`),
WTT (target/release/wtt).

usage: beside_mt3.py [PART...]
"""

import json
import os
import pathlib
import random
import statistics
import sys
import tempfile

import models

ROUNDS = int(os.environ.get("ROUNDS", "2"))
ROWS = int(os.environ.get("ROWS", "64"))
# Segments of the PyTorch port's way: one of 512 tokens takes it as long as a hundred take us.
ORIGINALS = {128: 3, 512: 1}
TOKENS = [int(length) for length in os.environ.get("TOKENS", "128 512").split()]
AIMS = {128: 12, 512: 40}
NEAR_TIE = 1e-4
CHECKED = 4


class Side(models.Side):
    def ask(self, request, lengths=None):
        answer = self.round(json.dumps(request))
        if lengths is not None and [len(tokens) for tokens in answer["tokens"]] != lengths:
            sys.exit(f"bench: VOID, {self.name} did not give the lengths that were forced")
        return answer

    def peak_mb(self):
        lines = pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmHWM:"))


class Both:
    def __init__(self, folder):
        here = pathlib.Path(__file__)
        threads = str(models.THREADS)
        self.ours = Side("ours", [models.WTT, "debug", "mt3-bench", "--folder", folder, "--threads", threads, "--rows", str(ROWS), "--sounds", str(ROWS), "--seed", str(models.SEED)])
        self.run_ours([2])  # the weights are written by now
        self.torch = Side("PyTorch", [sys.executable, str(here.with_name("mt3_side.py")), threads, folder, str(ROWS)])
        self.peaks, self.ceilings = [], []

    def run_ours(self, lengths):
        return self.ours.ask(lengths, lengths)

    def run_torch(self, way, lengths, gaps=False):
        return self.torch.ask({"way": way, "lengths": lengths, "gaps": gaps}, lengths)

    def look_at_the_processor(self, ours):
        self.ceilings.append(ours["ceiling"])
        self.peaks.append(self.torch.ask({"way": "peak"})["peak"])

    def share(self, what, ours):
        ceiling, peak, rate = max(self.ceilings), max(self.peaks), ours["products"] / ours["seconds"]
        print(f"    {what}: {rate / 1e9:.1f} thousand million multiply-adds a second; {rate / peak:.0%} of a product of 2048 x 2048 matrices in torch ({peak / 1e9:.1f}), {rate / ceiling:.0%} of multiply-adds on registers alone ({ceiling / 1e9:.1f})")


def same_network(both):
    """The same tokens in all three, but for near-ties of the reference; whatever comes behind one is another text."""
    lengths = [96] * CHECKED
    ours = both.run_ours(lengths)["tokens"]
    for way in ("original", "static"):
        equal = ties = 0
        answers = both.run_torch("static", lengths, True) if way == "static" else None
        for row, mine in enumerate(ours):
            if way == "original" and row:
                break  # one is enough, and slow
            answer = answers or both.run_torch(way, lengths[:1], True)
            theirs = answer["tokens"][row]
            gaps = [step[row] for step in answer["gaps"]]
            first = next((at for at, (a, b) in enumerate(zip(mine, theirs)) if a != b), None)
            if first is None:
                equal += 1
            elif gaps[first - 1] < NEAR_TIE:
                ties += 1
            else:
                sys.exit(f"bench: VOID, {way} says another token at {first} of segment {row}, where its best is {gaps[first - 1]} ahead")
        print(f"  the same network: {equal} of {equal + ties} segments of 96 tokens are the same in ours and in PyTorch's {way} way, {ties} part at a near-tie", flush=True)


def seconds(rounds):
    values = [round_["seconds"] for round_ in rounds]
    return f"{statistics.median(values):8.2f} ({min(values):.2f}-{max(values):.2f})"


def in_turns(both, lengths, originals=None):
    """Rounds of all sides: ours, PyTorch's static batches, and the port's way on `originals` where they are given."""
    rounds = {"ours": [], "static": [], "original": []}
    for _ in range(ROUNDS):
        rounds["ours"].append(both.run_ours(lengths))
        rounds["static"].append(both.run_torch("static", lengths))
        if originals:
            rounds["original"].append(both.run_torch("original", originals))
        both.look_at_the_processor(rounds["ours"][-1])
    return rounds


def beside_static(both, rounds):
    ours, other = rounds["ours"], rounds["static"]
    ratio = models.middle(other, "seconds") / models.middle(ours, "seconds")
    cpu = models.middle(other, "cpu") / models.middle(ours, "cpu")
    print(f"    static batches with a cache: {seconds(ours)} s beside {seconds(other)} s: {ratio:.2f}x as fast, CPU {cpu:.2f}x", flush=True)


def beside_original(both, length, segments, count, rounds):
    ours, other = rounds["ours"], rounds["original"]
    mine, his = models.middle(ours, "seconds") / segments, models.middle(other, "seconds") / count
    cpu = models.middle(other, "cpu") / count / (models.middle(ours, "cpu") / segments)
    print(f"    the port's way, {count} segments: {mine:.3f} s a segment ({2.048 / mine:.1f}x real time) beside {his:.2f} s ({2.048 / his:.2f}x): {his / mine:.1f}x as fast (aim {AIMS.get(length, '-')}), CPU {cpu:.1f}x", flush=True)


def equal(both):
    for length in TOKENS:
        count, lengths = ORIGINALS.get(length, 1), [length] * ROWS
        rounds = in_turns(both, lengths, [length] * count)
        print(f"  {ROWS} segments of {length} tokens")
        beside_original(both, length, ROWS, count, rounds)
        beside_static(both, rounds)
        both.share("ours", min(rounds["ours"], key=lambda round_: round_["seconds"]))


def ragged(both):
    drawn = random.Random(models.SEED)
    lengths = [drawn.randint(64, 512) for _ in range(3 * ROWS)]
    rounds = in_turns(both, lengths)
    print(f"  {len(lengths)} segments of 64 to 512 tokens, drawn; {sum(lengths)} in all")
    beside_static(both, rounds)
    both.share("ours", min(rounds["ours"], key=lambda round_: round_["seconds"]))
    profile(both, lengths)


def profile(both, lengths):
    spent = both.ours.ask({"profile": lengths}, lengths)["profile"]
    whole = sum(took for _, took in spent)
    print("    where ours spends its time: " + ", ".join(f"{part} {took / whole:.0%}" for part, took in spent if took / whole >= 0.005), flush=True)


PARTS = {"equal": equal, "ragged": ragged}


def main(parts):
    import torch

    if wrong := [part for part in parts if part not in PARTS]:
        sys.exit(f"bench: no such part: {', '.join(wrong)}; there are {', '.join(PARTS)}")
    print(f"bench: mt3, 46 million random weights, seed {models.SEED}; {models.WTT} beside torch {torch.__version__}, {models.THREADS} threads, {ROWS} rows", flush=True)
    with tempfile.TemporaryDirectory(prefix="wtt-bench-") as folder:
        both = Both(folder)
        same_network(both)
        about = both.run_torch("static", [2] * ROWS)
        attends = ", ".join(f"{name[6:]} {took * 1000:.1f} ms" for name, took in about.items() if name.startswith("step, "))
        if attends:
            print(f"  PyTorch's static batches attend in the faster of torch's two ways; a step at position 100 takes: {attends}")
        print(f"\n{ROUNDS} rounds in turns; seconds: median (range)", flush=True)
        for part in parts:
            PARTS[part](both)
        print(f"\npeak memory: ours {both.ours.peak_mb():.0f} MB, PyTorch {both.torch.peak_mb():.0f} MB")
        for side in (both.ours, both.torch):
            side.end()


if __name__ == "__main__":
    main(sys.argv[1:] or list(PARTS))
