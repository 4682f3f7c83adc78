"""Compares our Harmonica with the published package in float32, file by file and stage by stage; exits 1 if any gate is violated.

1. samples:  the file at 16 kHz, within 1e-6.
2. spectrum: log constant-Q, within 1e-6.
3. maps:     onset, sustain and velocity, within 1e-4.
4. notes:    the package's decoding gives our notes from our maps, all of them; and every note is equal (pitch, start and end frame, velocity), or each
             comparison behind it that came out differently has a value within 1e-4 of its edge, and is listed.

A gate is violated whoever is to blame. Where the spectrum or a map is, the package's own kernels and network are run in float64 and it is told how far
each side lies from that: the package rounds too. A map's distance has two parts: what a side's network rounds, and what the network in float64 makes of
the difference between the two spectra, which a norm in a quiet chunk magnifies a thousand times.

Files that the two decode differently by nature (MP3, AAC, Vorbis) are compared for information only.

usage: compare.py harmonica[:SIZE] FILE...
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

from reference import Note, Package, deciding

ROOT = pathlib.Path(__file__).resolve().parents[3]
# A stand-in for the binary, for work on these scripts themselves.
WTT = os.environ.get("WTT", str(ROOT / "target" / "release" / "wtt"))
SPECTRUM_TOLERANCE = 1e-6
MAP_TOLERANCE = 1e-4
EXACT = {".wav", ".flac", ".aiff", ".aif"}
MAPS = ("onset", "sustain", "velocity")
COLUMNS = ("seconds", "samples", "spectrum", *MAPS, "notes")


def ours(path, model, folder):
    command = [WTT, "debug", "harmonica", path, "--model", model, "--dump", folder]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise RuntimeError(f"wtt debug harmonica: exit {done.returncode}: {done.stderr.strip()[-600:]}")
    read = lambda name, width: np.fromfile(folder / f"{name}.f32", dtype="<f4").reshape(-1, width)
    notes = [Note(**entry) for entry in json.loads((folder / "notes.json").read_text())]
    return read("samples", 1)[:, 0], read("spectrum", 264), {name: read(name, 88) for name in MAPS}, notes


class Result:
    def __init__(self, name):
        self.name, self.cells, self.violated, self.compared = name, {}, False, True

    def gate(self, name, passed, cell):
        self.cells[name] = cell if passed else f"{cell} VIOLATED"
        self.violated |= not passed

    def gap(self, name, theirs, mine, tolerance):
        """Largest difference, and where; None where the shapes differ."""
        if theirs.shape != mine.shape:
            say(f"{name}: ours has the shape {mine.shape}, the package's {theirs.shape}")
            self.gate(name, False, "shape")
            return None
        gaps = np.abs(theirs.astype(np.float64) - mine)
        worst = float(gaps.max(initial=0.0))
        self.gate(name, worst <= tolerance, f"{worst:.1e}")
        return gaps


def say(line):
    print(f"  {line}", flush=True)


def frames_off(gaps, tolerance):
    """Frames with a value that differs by more; none where the shapes differ."""
    return [] if gaps is None else np.nonzero(gaps.max(axis=1, initial=0.0) > tolerance)[0]


def blame(what, frames, exact, theirs, mine):
    off_theirs, off_ours = (float(np.abs(exact - side).max()) for side in (theirs, mine))
    say(f"{what}: {len(frames)} frames are out of tolerance; in float64 the package comes out {off_theirs:.1e} from itself, we come out {off_ours:.1e} from it")


def spectrum_gate(result, package, samples, theirs, mine):
    # float64 is slow: only the frames where somebody is off.
    frames = frames_off(result.gap("spectrum", theirs, mine, SPECTRUM_TOLERANCE), SPECTRUM_TOLERANCE)
    if len(frames):
        blame("spectrum", frames, package.exact_spectrum(samples, frames), theirs[frames], mine[frames])


def maps_gate(result, package, samples, spectra, theirs, mine):
    off = {name: frames_off(result.gap(name, theirs[name], mine[name], MAP_TOLERANCE), MAP_TOLERANCE) for name in MAPS}
    frames = sorted({int(frame) for frames in off.values() for frame in frames})
    if not frames:
        return
    looked_at, from_theirs = package.exact_maps(spectra[0], frames)
    _, from_ours = package.exact_maps(spectra[1], frames)
    _, from_exact = package.exact_maps(exact_beside(package, samples, spectra[0], frames), frames)
    apart = lambda one, other: f"{float(np.abs(one - other).max()):.1e}"
    for name in MAPS:
        if len(off[name]):
            say(
                f"{name}: {len(off[name])} frames are out of tolerance; the package's network rounds by {apart(theirs[name][looked_at], from_theirs[name])}, "
                f"ours by {apart(mine[name][looked_at], from_ours[name])}; without that, on spectra that are rounded, the package lies "
                f"{apart(from_theirs[name], from_exact[name])} from float64 throughout, we {apart(from_ours[name], from_exact[name])}, "
                f"each other {apart(from_theirs[name], from_ours[name])}"
            )


def exact_beside(package, samples, spectrum, frames):
    """The spectrum, in float64 where the chunks of these frames see it."""
    seen = sorted({at for frame in frames for at in range(frame // 78 * 78 - 39, frame // 78 * 78 + 117) if 0 <= at < len(spectrum)})
    exact = spectrum.astype(np.float64)
    exact[seen] = package.exact_spectrum(samples, seen)
    return exact


def notes_gate(result, package, theirs, mine, maps, our_maps):
    missing, surplus = sorted(set(theirs) - set(mine)), sorted(set(mine) - set(theirs))
    allowed = len(theirs) == len(set(theirs)) and len(mine) == len(set(mine))
    if any(maps[name].shape != our_maps[name].shape for name in MAPS):
        result.gate("notes", False, "shape")
        return
    if sorted(package.notes(our_maps)) != sorted(mine):
        say("from our own maps the package decodes other notes than we do")
        allowed = False
    for side, notes in (("only the package has", missing), ("only we have", surplus)):
        for note in notes:
            reasons = deciding(note, maps, our_maps, package.onset_threshold, package.frame_threshold)
            near = bool(reasons) and max(reasons)[0] <= MAP_TOLERANCE
            allowed &= near
            listed = "; ".join(f"{what} is {margin:.1e} from its edge" for margin, what in sorted(reasons)) or "nothing comes out differently"
            say(f"{side} {note}; {'allowed' if near else 'NOT ALLOWED'}: {listed}")
    result.gate("notes", allowed, f"{len(theirs) - len(missing)}/{len(theirs)}" + (f" (+{len(surplus)})" if surplus else ""))


def compare(package, model, path):
    result = Result(path.name)
    try:
        samples = package.samples(path)
    except Exception as error:  # whatever it says, there is nothing to compare with
        result.compared = False
        say(f"not compared, the published package cannot read it: {type(error).__name__}: {error}")
        return result
    maps = package.maps(samples)
    with tempfile.TemporaryDirectory(prefix="wtt-parity-") as folder:
        try:
            our_samples, our_spectrum, our_maps, our_notes = ours(path, model, pathlib.Path(folder))
        except RuntimeError as error:
            result.violated = True
            say(str(error))
            return result
    result.cells["seconds"] = f"{len(samples) / 16000:.1f}"
    result.gap("samples", samples, our_samples, 1e-6)
    spectrum = package.spectrum(samples)
    spectrum_gate(result, package, samples, spectrum, our_spectrum)
    maps_gate(result, package, samples, (spectrum, our_spectrum), maps, our_maps)
    notes_gate(result, package, package.notes(maps), our_notes, maps, our_maps)
    if path.suffix.lower() not in EXACT:
        say(f"{path.suffix} is decoded differently by nature: for information only")
        result.violated = False
        result.cells = {name: cell.replace(" VIOLATED", "") for name, cell in result.cells.items()}
    return result


def table(results):
    rows = [["file", *COLUMNS]] + [[result.name, *(result.cells.get(column, "-") for column in COLUMNS)] for result in results]
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)


def main(model, paths):
    size = model.partition(":")[2] or "medium"
    package = Package(size)
    results = []
    for path in paths:
        print(f"comparing {path.name}", flush=True)
        results.append(compare(package, model, path))
    print()
    print(table(results))
    compared = [result for result in results if result.compared]
    bad = [result.name for result in compared if result.violated]
    print(
        f"\nparity of harmonica:{size}: {len(compared) - len(bad)} of {len(compared)} files pass"
        + (f"; violated: {', '.join(bad)}" if bad else "")
        + (f"; {len(results) - len(compared)} could not be compared" if len(compared) < len(results) else "")
    )
    return 1 if bad or not compared else 0


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1], [pathlib.Path(argument) for argument in sys.argv[2:]]))
