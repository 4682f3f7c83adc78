#!/usr/bin/env python3
"""Small inputs of the right kind for a fuzz target to begin with: scripts/fuzz-seeds.py TARGET FOLDER. Same bytes every time."""

import io
import json
import math
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile
import zipfile


def wav(bits=16, channels=1, rate=8000, count=400, kind=1):
    body = b"".join(
        struct.pack("<h", int(9000 * math.sin(n / 3))) if bits == 16 else struct.pack("<f", math.sin(n / 3))
        for n in range(count * channels)
    )
    align = channels * bits // 8
    head = struct.pack("<HHIIHH", kind, channels, rate, rate * align, align, bits)
    chunks = b"fmt " + struct.pack("<I", 16) + head + b"data" + struct.pack("<I", len(body)) + body
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


def decode():
    sounds = {"wav16": wav(), "wav32f": wav(bits=32, kind=3), "wav6": wav(channels=6, rate=96000)}
    # Where ffmpeg is there, one short sound in each other format.
    if shutil.which("ffmpeg"):
        with tempfile.TemporaryDirectory() as folder:
            source = pathlib.Path(folder) / "a.wav"
            source.write_bytes(wav(rate=16000, count=3200))
            for name in ["mp3", "flac", "ogg", "m4a", "aac", "aiff", "caf", "mka", "mp2"]:
                made = pathlib.Path(folder) / f"a.{name}"
                quiet = ["ffmpeg", "-loglevel", "quiet", "-y", "-i", source, "-bitexact", made]
                if subprocess.run(quiet, check=False).returncode == 0:
                    sounds[name] = made.read_bytes()
    return {name: b"\0" + sound for name, sound in sounds.items()}


def scores():
    note = {"onset": 0.1, "offset": 0.6, "pitch": 60, "velocity": 90, "program": 0, "is_drum": False}
    bent = note | {"onset": 0.5, "offset": 1.0, "bends": {"unit_cents": 33.333, "values": [0, 3, -3]}}
    pedal = {"kind": "sustain", "onset": 0.1, "offset": 0.5, "value": 100}
    page = {"schema": 1, "provenance": {"app": "seed"}, "notes": [note, bent], "pedals": [pedal]}
    track = b"\0\xff\x51\x03\x07\xa1\x20\0\x90\x3c\x40\x60\x80\x3c\x40\0\xe0\0\x40\0\xff\x2f\0"
    midi = b"MThd" + struct.pack(">IHHH", 6, 1, 1, 480) + b"MTrk" + struct.pack(">I", len(track)) + track
    return {"json": json.dumps(page).encode(), "midi": midi}


def notes():
    return {"steps": bytes(range(1, 200)), "loud": bytes([40, 40, 100, 0, 0, 0, 7, 40] + [9, 30, 12, 249, 249] * 12)}


def weights():
    head = json.dumps({"norm.scale": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    wheel = io.BytesIO()
    onnx = b"\x3a\x0e\x2a\x0c\x08\x01\x10\x01\x42\x01a\x4a\x04\0\0\0\0"
    with zipfile.ZipFile(wheel, "w") as archive:
        info = zipfile.ZipInfo("basic_pitch/saved_models/icassp_2022/nmp.onnx", (2020, 1, 1, 0, 0, 0))
        archive.writestr(info, onnx)
    return {"safetensors": struct.pack("<Q", len(head)) + head + b"\0\0\0\0", "onnx": onnx, "wheel": wheel.getvalue()}


def bytes_of_many_kinds():
    return {"text": b"audio/wav;model=basic-pitch;" * 8, "ramp": bytes(range(256)) * 2, "zeros": bytes(64)}


KINDS = {"decode": decode, "scores": scores, "notes": notes, "weights": weights}

if __name__ == "__main__":
    target, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    for name, data in KINDS.get(target, bytes_of_many_kinds)().items():
        (folder / f"seed-{name}").write_bytes(data)
