"""Records what the published package makes of small recordings, as fixtures that tests read without Python. Run it again only to add a recording.

usage: record_fixtures.py FOLDER FILE...

FOLDER/NAME/ then holds
  audio.EXT             the recording, as it is
  notes.json            frames, and the notes of the whole way from the file: start_frame, end_frame, pitch, velocity, amplitude, bends
  windows.json          log spread (dB) of each window
and, where the recording is at 22,050 Hz with one channel (so that nobody resamples):
  maps.npz              note, onset and contour [frames, bins], float32, rounded to 2^-20 so that they pack well
  notes_from_maps.json  the package's notes for exactly these rounded maps
"""

import json
import pathlib
import shutil
import sys

import numpy as np
import soundfile

import reference


def rounded(values):
    """Near enough for a tolerance of 1e-5, and half the size once packed."""
    return (np.round(values.astype(np.float64) * 2**20) / 2**20).astype(np.float32)


def write(path, maps, notes):
    entries = [json.dumps(note.as_json(), separators=(",", ":")) for note in notes]
    path.write_text(f'{{"frames": {len(maps["note"])}, "notes": [\n' + ",\n".join(entries) + "\n]}\n")


def record(folder, path):
    target = folder / path.stem
    target.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, target / f"audio{path.suffix}")
    maps = reference.maps_of(path)
    write(target / "notes.json", maps, reference.notes_of(maps))
    spreads = [round(spread, 6) for spread in reference.log_spreads(reference.samples_of(path))]
    (target / "windows.json").write_text(json.dumps({"log_spread_db": spreads}) + "\n")

    about = soundfile.info(str(path))
    if (about.samplerate, about.channels) == (reference.RATE, 1):
        maps = {name: rounded(values) for name, values in maps.items()}
        np.savez_compressed(target / "maps.npz", **maps)
        write(target / "notes_from_maps.json", maps, reference.notes_of(maps))
    for file in sorted(target.iterdir()):
        print(f"{file} ({file.stat().st_size} bytes)")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    for name in sys.argv[2:]:
        record(pathlib.Path(sys.argv[1]), pathlib.Path(name))
