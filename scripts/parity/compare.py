"""Compares our Basic Pitch with the published package, file by file, through three gates; exits 1 if any of them is violated.

1. notes:   the package's maps into our note creation, at several settings: every note equal, bends included.
2. maps:    the package's 22,050 Hz samples into our network: every value within 1e-5.
3. whole:   the file into `--parity`: every note equal (pitch, start and end frame, velocity), or decided by a value within 1e-5 of its edge, and listed.

Windows whose log energy spreads by less than 1e-4 dB (digital silence) are left out of gate 2 and named; notes lying wholly in them are listed, not
counted. Files that the two decode differently by nature (MP3, AAC, Vorbis) go through gate 3 for information only.

usage: compare.py FILE...
"""

import pathlib
import sys
import tempfile

import numpy as np

import deciding
import ours
import reference
from reference import FRAMES_PER_WINDOW, MAPS

MAP_TOLERANCE = 1e-5
SILENT_BELOW_DB = 1e-4
# The notes gate goes through all of these; the other two use the defaults.
SETTINGS = {
    "defaults": reference.DEFAULTS,
    "low thresholds": reference.Settings(onset_threshold=0.2, frame_threshold=0.1),
    "high thresholds, short notes": reference.Settings(onset_threshold=0.7, frame_threshold=0.5, minimum_note_length=30.0),
    "limits": reference.Settings(minimum_frequency=110.0, maximum_frequency=880.0),
    "onsets as they are": reference.Settings(inferred_onsets=False),
    "onsets only": reference.Settings(melodia=False),
}
# What both sides decode to the same samples.
EXACT = {".wav", ".flac", ".aiff", ".aif"}


class Result:
    """What is said about one file: lines for people, cells for the table, and whether a gate was violated."""

    def __init__(self, name):
        self.name, self.cells, self.lines = name, {}, []
        self.violated, self.compared = False, True

    def gate(self, name, passed, cell):
        self.cells[name] = cell if passed else f"{cell} VIOLATED"
        self.violated |= not passed

    def say(self, line):
        self.lines.append(line)


def shape(note):
    return f"pitch {note.pitch}, frames {note.start_frame}..{note.end_frame}, velocity {note.velocity}"


def whole_key(note):
    return (note.pitch, note.start_frame, note.end_frame, note.velocity)


def difference(theirs, ours_, key):
    """Notes only they have and notes only we have; both lists hold each note as often as it is there."""
    left = list(map(key, ours_))
    missing = []
    for note in theirs:
        if key(note) in left:
            left.remove(key(note))
        else:
            missing.append(note)
    left_theirs = list(map(key, theirs))
    surplus = []
    for note in ours_:
        if key(note) in left_theirs:
            left_theirs.remove(key(note))
        else:
            surplus.append(note)
    return missing, surplus


def notes_gate(result, maps, folder):
    equal = total = 0
    for name, settings in SETTINGS.items():
        theirs = reference.notes_of(maps, settings)
        mine = ours.notes_from_maps(maps, settings, folder)
        missing, surplus = difference(theirs, mine, lambda note: (*whole_key(note), note.bends))
        equal, total = equal + len(theirs) - max(len(missing), len(surplus)), total + len(theirs)
        for note in missing:
            result.say(f"notes gate, {name}: only the package has {shape(note)}")
        for note in surplus:
            result.say(f"notes gate, {name}: only we have {shape(note)}")
    result.gate("notes", equal == total, f"{equal}/{total}")


def maps_gate(result, samples, maps, silent, folder):
    raw = folder / "given.f32"
    samples.astype("<f4").tofile(raw)
    mine, _, spreads = ours.transcribe(raw, folder / "given", samples=True)
    worst = 0.0
    for name in MAPS:
        if mine[name].shape != maps[name].shape:
            result.say(f"maps gate: {name} is {mine[name].shape}, the package's is {maps[name].shape}")
            result.gate("maps", False, "shape")
            return
        gap = np.abs(mine[name] - maps[name])
        gap[np.isin(np.arange(len(gap)) // FRAMES_PER_WINDOW, list(silent))] = 0
        if gap.size:
            frame, column = np.unravel_index(gap.argmax(), gap.shape)
            worst = max(worst, float(gap.max()))
            if not gap.max() <= MAP_TOLERANCE:
                result.say(f"maps gate: {name} differs by {gap.max():.2e} at frame {frame} (window {frame // FRAMES_PER_WINDOW}), column {column}")
    for index in sorted(set(spreads) ^ set(range(result.windows))):
        result.say(f"maps gate: window {index} is known to one side only")
    for index in sorted(silent):
        result.say(f"window {index}: log spread below {SILENT_BELOW_DB} dB, left out of the maps gate")
    result.gate("maps", worst <= MAP_TOLERANCE, f"{worst:.1e}")


def whole_gate(result, path, theirs_maps, theirs, silent, folder):
    maps, mine, _ = ours.transcribe(path, folder / "whole")
    missing, surplus = difference(theirs, mine, whole_key)
    exact = path.suffix.lower() in EXACT

    def in_silence(note):
        return all(frame // FRAMES_PER_WINDOW in silent for frame in range(note.start_frame, note.end_frame))

    different = [note for note in [*missing, *surplus] if not in_silence(note)]
    for note in [*missing, *surplus]:
        if in_silence(note):
            result.say(f"whole gate: not counted, wholly in silence: {shape(note)}")
    equal = f"{len(theirs) - len(missing)}/{len(theirs)}"
    if not exact:
        result.cells["whole"] = f"{equal} (for information)"
        result.say(f"whole gate: {path.suffix} is decoded differently by nature; {len(missing)} notes only theirs, {len(surplus)} only ours")
        return
    if len(maps["note"]) != len(theirs_maps["note"]):
        result.say(f"whole gate: we have {len(maps['note'])} frames, the package has {len(theirs_maps['note'])}")
        result.gate("whole", False, equal)
        return
    reasons = deciding.explain(different, deciding.Flips(theirs_maps, maps)) if different else {}
    for note, reason in reasons.items():
        side = "only the package has" if note in missing else "only we have"
        why = f"allowed, decided by {reason}" if reason else "NOT ALLOWED, no deciding value within 1e-5 of its edge"
        result.say(f"whole gate: {side} {shape(note)}; {why}")
    close = sum(reason is not None for reason in reasons.values())
    result.gate("whole", close == len(reasons), equal + (f" ({close} close calls)" if close else ""))


def compare(path):
    result = Result(path.name)
    try:
        samples = reference.samples_of(path)
        maps = reference.maps_of(path)
        theirs = reference.notes_of(maps)
    except Exception as error:  # whatever it says, there is nothing to compare with
        result.compared = False
        result.say(f"not compared, the published package cannot read it: {type(error).__name__}: {error}")
        return result
    spreads = reference.log_spreads(samples)
    result.windows = len(spreads)
    silent = {index for index, spread in enumerate(spreads) if spread < SILENT_BELOW_DB}
    result.cells = {"seconds": f"{len(samples) / reference.RATE:.1f}", "windows": f"{len(spreads)} ({len(silent)} silent)"}
    with tempfile.TemporaryDirectory(prefix="wtt-parity-") as name:
        folder = pathlib.Path(name)
        for gate in (
            lambda: notes_gate(result, maps, folder / "maps"),
            lambda: maps_gate(result, samples, maps, silent, folder),
            lambda: whole_gate(result, path, maps, theirs, silent, folder),
        ):
            try:
                gate()
            except ours.Failed as error:
                result.violated = True
                result.say(str(error))
    return result


def table(results):
    columns = ["seconds", "windows", "notes", "maps", "whole"]
    rows = [["file", *columns]] + [
        [result.name, *(result.cells.get(column, "FAILED" if result.compared else "-") for column in columns)] for result in results
    ]
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)


def main(paths):
    results = []
    for path in paths:
        print(f"comparing {path.name}", flush=True)
        result = compare(path)
        for line in result.lines:
            print(f"  {line}", flush=True)
        results.append(result)
    print()
    print(table(results))
    compared = [result for result in results if result.compared]
    bad = [result.name for result in compared if result.violated]
    print(
        f"\nparity: {len(compared) - len(bad)} of {len(compared)} files pass"
        + (f"; violated: {', '.join(bad)}" if bad else "")
        + (f"; {len(results) - len(compared)} could not be compared" if len(compared) < len(results) else "")
    )
    return 1 if bad or not compared else 0


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    sys.exit(main([pathlib.Path(argument) for argument in sys.argv[1:]]))
