"""PyTorch's side of the benchmark of MT3: `{"way": .., "lengths": [..], "gaps": bool}` a line on standard input, a line of JSON for each.

Ways: `original` (no cache, one segment at a time), `static` (cache, batches of ROWS in the order of the list), `peak` (a matrix product's multiply-adds a
second). Segment k of a list is that of the frames, from the start again where there are more.

usage: mt3_side.py THREADS FOLDER ROWS
"""

import json
import pathlib
import sys
import time

import numpy as np
import torch
from mt3_torch import Network, Static, original

FRAMES, BANDS = 256, 512
SIZE = 2048


def peak():
    a, best = torch.rand(SIZE, SIZE), float("inf")
    for _ in range(6):
        begun = time.perf_counter()
        a @ a
        best = min(best, time.perf_counter() - begun)
    return {"peak": SIZE**3 / best}


def faster(static, frames):
    """Which of torch's two ways to attend is the faster one here."""
    static.listen(frames)
    tokens, times = torch.zeros(len(frames), dtype=torch.long), {}
    for attend in (Static.fused, Static.products):
        static.attend = attend
        for at in range(100, 106):
            begun = time.perf_counter()
            static.step(tokens, at)
            times[attend] = min(times.get(attend, 9e9), time.perf_counter() - begun)
    static.attend = min(times, key=times.get)
    return {f"step, {attend.__name__}": seconds for attend, seconds in times.items()}


def main(threads, folder, rows):
    torch.set_num_threads(threads)
    folder = pathlib.Path(folder)
    network = Network(folder / "weights.safetensors")
    frames = torch.from_numpy(np.fromfile(folder / "frames.f32", "<f4").reshape(-1, FRAMES, BANDS))
    static, about = None, {}
    for line in sys.stdin:
        wanted = json.loads(line)
        if wanted["way"] == "peak":
            print(json.dumps(peak()), flush=True)
            continue
        lengths, gaps = wanted["lengths"], [] if wanted.get("gaps") else None
        sounds = frames[torch.arange(len(lengths)) % len(frames)]
        if wanted["way"] == "static" and static is None:
            static = Static(network, rows, FRAMES)
            about = faster(static, frames[torch.arange(rows) % len(frames)])
        begun = time.perf_counter()
        if wanted["way"] == "original":
            said = [original(network, sound, length, gaps) for sound, length in zip(sounds, lengths)]
        else:
            said = []
            for first in range(0, len(lengths), rows):
                said += static.run(sounds[first : first + rows], lengths[first : first + rows], gaps)
        seconds = time.perf_counter() - begun
        print(json.dumps({"seconds": seconds, "tokens": said, "gaps": gaps, **about}), flush=True)


if __name__ == "__main__":
    with torch.inference_mode():
        main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
