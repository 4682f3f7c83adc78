"""Compares the notes and pedals of our Transkun with the published package's, file by file; exits 1 if any differs.

Equal means: as many, the same keys and pedals, velocities equal, and every start and end within a millisecond. Files that the two decode
differently by nature (MP3, AAC, Vorbis) are compared for information only.

usage: compare.py FILE...
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

from reference import Package

ROOT = pathlib.Path(__file__).resolve().parents[3]
# A stand-in for the binary, for work on these scripts themselves.
WTT = os.environ.get("WTT", str(ROOT / "target" / "release" / "wtt"))
TOLERANCE = 1e-3
EXACT = {".wav", ".flac", ".aiff", ".aif"}
PEDALS = {"sustain": -64, "soft": -67}


def ours(path):
    with tempfile.TemporaryDirectory(prefix="wtt-parity-") as folder:
        folder = pathlib.Path(folder)
        command = [WTT, "transcribe", path, "--model", "transkun", "--parity", "-o", folder / "out.mid", "--notes", folder / "out.json"]
        command += os.environ.get("ARGS", "").split()
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            raise RuntimeError(f"wtt transcribe: exit {done.returncode}: {done.stderr.strip()[-600:]}")
        found = json.loads((folder / "out.json").read_text())
    notes = [(note["onset"], note["offset"], note["pitch"], note["velocity"]) for note in found["notes"]]
    return notes + [(pedal["onset"], pedal["offset"], PEDALS[pedal["kind"]], pedal["value"]) for pedal in found["pedals"]]


def by_symbol(events):
    sorted_out = {}
    for start, end, symbol, velocity in sorted(events):
        sorted_out.setdefault(symbol, []).append((start, end, velocity))
    return sorted_out


def differences(theirs, mine):
    """Lines about what differs, how many events agree in all, and the largest difference in seconds between those."""
    lines, agreed, worst = [], 0, 0.0
    theirs, mine = by_symbol(theirs), by_symbol(mine)
    for symbol in sorted(theirs.keys() | mine.keys()):
        one, other = theirs.get(symbol, []), mine.get(symbol, [])
        if len(one) != len(other):
            lines.append(f"{symbol}: the package has {len(one)} events, we have {len(other)}")
        for left, right in zip(one, other):
            gap = max(abs(left[0] - right[0]), abs(left[1] - right[1]))
            if gap <= TOLERANCE and left[2] == right[2]:
                agreed += 1
                worst = max(worst, gap)
            else:
                lines.append(f"{symbol}: the package has {left}, we have {right}")
    return lines, agreed, worst


def main(paths):
    package = Package(int(os.environ.get("THREADS", "0")))
    rows, bad, compared = [], 0, 0
    for path in paths:
        print(f"comparing {path.name}", flush=True)
        try:
            samples = package.samples(str(path))
        except Exception as error:  # whatever it says, there is nothing to compare with
            print(f"  not compared, the published package cannot read it: {type(error).__name__}: {error}")
            continue
        begun = time.perf_counter()
        theirs = package.events(samples)
        seconds = time.perf_counter() - begun
        begun = time.perf_counter()
        try:
            mine = ours(path)
        except RuntimeError as error:
            print(f"  {error}")
            compared, bad = compared + 1, bad + 1
            rows.append([path.name, "-", "-", "-", "FAILED"])
            continue
        lines, agreed, worst = differences(theirs, mine)
        for line in lines[:20]:
            print(f"  {line}")
        exact = path.suffix.lower() in EXACT
        violated = bool(lines) and exact
        compared, bad = compared + exact, bad + violated
        pedals = sum(1 for event in theirs if event[2] < 0)
        verdict = "VIOLATED" if violated else "equal" if not lines else "for information"
        length = len(samples) / package.model.fs
        rows.append([path.name, f"{length:.1f}", f"{agreed}/{len(theirs)}", f"{pedals}", f"{worst * 1000:.3f}", f"{seconds:.1f}", f"{time.perf_counter() - begun:.1f}", verdict])
    print()
    rows.insert(0, ["file", "seconds", "equal events", "of them pedals", "largest gap, ms", "package, s", "ours, s", ""])
    widths = [max(len(row[at]) for row in rows if at < len(row)) for at in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
    print(f"\nparity of transkun: {compared - bad} of {compared} files equal")
    return 1 if bad or not compared else 0


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    sys.exit(main([pathlib.Path(argument) for argument in sys.argv[1:]]))
