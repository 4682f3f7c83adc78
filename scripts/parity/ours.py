"""Our own program, asked through `wtt debug`. Knows nothing of the published package but the shape of a note."""

import json
import os
import pathlib
import subprocess

import numpy as np

from reference import MAPS, Note

ROOT = pathlib.Path(__file__).resolve().parents[2]
# A stand-in for the binary, for work on these scripts themselves.
WTT = os.environ.get("WTT", str(ROOT / "target" / "release" / "wtt"))
BINS = {"note": 88, "onset": 88, "contour": 264}


class Failed(Exception):
    """Our program ended with an error; the message is what it said."""


def wtt(*arguments):
    try:
        done = subprocess.run([WTT, *map(str, arguments)], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    except OSError as error:
        raise Failed(f"{WTT} does not start ({error.strerror}); make build first") from error
    if done.returncode != 0:
        raise Failed(f"wtt {' '.join(map(str, arguments))}: exit {done.returncode}: {done.stderr.strip()[-600:]}")
    return done.stdout


def read_maps(folder):
    return {name: np.fromfile(folder / f"{name}.f32", dtype="<f4").reshape(-1, BINS[name]) for name in MAPS}


def read_notes(text):
    return [Note.from_json(entry) for entry in json.loads(text)]


def transcribe(path, folder, samples=False):
    """Maps, notes and log spreads of a file; with `samples`, of raw float32 at 22,050 Hz."""
    wtt("debug", "basic-pitch", path, "--parity", "--dump", folder, *(["--samples"] if samples else []))
    windows = {entry["index"]: entry["log_spread_db"] for entry in json.loads((folder / "windows.json").read_text())}
    return read_maps(folder), read_notes((folder / "notes.json").read_text()), windows


def notes_from_maps(maps, settings, folder):
    """Only our note creation, on given maps."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in MAPS:
        maps[name].astype("<f4").tofile(folder / f"{name}.f32")
    return read_notes(wtt("debug", "basic-pitch-notes", folder, "--parity", "--options", json.dumps(settings.as_json())))
