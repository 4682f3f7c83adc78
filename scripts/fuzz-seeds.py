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
    outputs = {"steps": bytes(range(1, 200)), "loud": bytes([40, 40, 100, 0, 0, 0, 7, 40] + [9, 30, 12, 249, 249] * 12)}
    # The first byte says whose outputs they are.
    networks = ["basic-pitch", "harmonica", "transkun", "mt3"]
    seeds = {f"{name}-{kind}": bytes([n]) + data for n, name in enumerate(networks) for kind, data in outputs.items()}
    # A segment of MT3: no ties, on, three pitches, later off and the same pitches. Tokens are four higher here.
    tokens = [1134, 1133, 1064, 1068, 1071, 103, 1132, 1064, 1068, 1071]
    segment = bytes([len(tokens)]) + struct.pack(f"<{len(tokens)}H", *(token + 4 for token in tokens))
    return seeds | {"mt3-chord": b"\3\0\0" + segment * 2}


# The tensors of fuzz/targets/tiny.rs and of nothing else.
TINY = {
    "encoder.input_projection.weight": [4, 512],
    "encoder.final_norm.weight": [4],
    "decoder.token_embeddings.weight": [4, 4],
    "decoder.final_norm.weight": [4],
    "decoder.output_projection.weight": [4, 4],
}
TINY_CONFIG = b'{"num_heads": 1, "head_dim": 4, "mlp_dim": 4}'


def safetensors(tensors, metadata=None):
    head, at = ({"__metadata__": metadata} if metadata else {}), 0
    for name, shape in tensors.items():
        size = 4 * math.prod(shape)
        head[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(head).encode()
    return struct.pack("<Q", len(text)) + text + struct.pack("<f", 0.5) * (at // 4)


def weights():
    head = json.dumps({"norm.scale": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    wheel = io.BytesIO()
    onnx = b"\x3a\x0e\x2a\x0c\x08\x01\x10\x01\x42\x01a\x4a\x04\0\0\0\0"
    with zipfile.ZipFile(wheel, "w") as archive:
        info = zipfile.ZipInfo("basic_pitch/saved_models/icassp_2022/nmp.onnx", (2020, 1, 1, 0, 0, 0))
        archive.writestr(info, onnx)
    sizes = {"vocab_size": 4, "emb_dim": 4, "num_heads": 1, "head_dim": 4, "num_encoder_layers": 0, "num_decoder_layers": 0}
    sizes |= {"mlp_dim": 4, "max_encoder_length": 256, "max_decoder_length": 1024}
    about = json.dumps({"config": sizes, "profile": "seed"})
    return {
        "safetensors": struct.pack("<Q", len(head)) + head + b"\0\0\0\0",
        "onnx": onnx,
        "wheel": wheel.getvalue(),
        "mt3": safetensors(TINY),
        "mt3-about": safetensors(TINY, {"mt3": about}),
        "mt3-config": TINY_CONFIG,
        "mt3-sizes": json.dumps({"config": sizes}).encode(),
    }


def pickled(value):
    """A value of a checkpoint as `torch.save` pickles it; a list is the shape of a tensor."""
    if isinstance(value, dict):
        items = b"".join(pickled(name) + pickled(inner) for name, inner in value.items())
        return b"}(" + items + b"u"
    if isinstance(value, str):
        return b"X" + struct.pack("<I", len(value)) + value.encode()
    if isinstance(value, list):
        strides = [math.prod(value[axis:]) for axis in range(1, len(value) + 1)]
        sizes = b"".join(b"(" + b"".join(map(pickled, numbers)) + b"t" for numbers in [value, strides])
        storage = pickled("storage") + b"ctorch\nFloatStorage\n" + pickled("0") + pickled("cpu") + pickled(2048)
        call = b"ctorch._utils\n_rebuild_tensor_v2\n((" + storage + b"tQ" + pickled(0) + sizes
        return call + b"\x89ccollections\nOrderedDict\n)RtR"
    if value is None or isinstance(value, bool):
        return {None: b"N", True: b"\x88", False: b"\x89"}[value]
    return b"G" + struct.pack(">d", value) if isinstance(value, float) else b"M" + struct.pack("<H", value)


def checkpoint():
    cqt = {"sample_rate": 16000, "hop_length": 512, "bins_per_semitone": 3}
    harmonic = {"kind": "shift_aggregate", "depth": "multi", "harmonics": 8}
    head = {"hidden_size": None, "bidirectional": True, "velocity": True}
    preset = {"size": "nano", "channels": None, "layers": None, "frontend_channels": None}
    harmonica = {
        "pipeline": "harmonica",
        "checkpoint_format_version": 2,
        "config": {"model": preset | {"cqt": cqt, "harmonic": harmonic, "head": head}},
        "thresholds": {"onset": 0.5, "frame": 0.5},
        "model": {"stem.conv1.weight": [4, 1, 5, 5]},
    }
    pickles = {"mt3": TINY, "mt3-inside": {"model": TINY}, "transkun": {"state_dict": TINY}, "harmonica": harmonica}
    pickles = {name: b"\x80\2" + pickled(value) + b"." for name, value in pickles.items()}
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        parts = {"data.pkl": pickles["mt3"], "byteorder": b"little", "data/0": struct.pack("<f", 0.5) * 2048}
        for name, data in parts.items():
            info = zipfile.ZipInfo(f"model/{name}", (2020, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, data)
    # The first byte says whether the rest is a whole file or the pickle in one.
    return {"whole": b"\0" + whole.getvalue()} | {name: b"\1" + data for name, data in pickles.items()}


def bytes_of_many_kinds():
    return {"text": b"audio/wav;model=basic-pitch;" * 8, "ramp": bytes(range(256)) * 2, "zeros": bytes(64)}


KINDS = {"decode": decode, "scores": scores, "notes": notes, "weights": weights, "checkpoint": checkpoint}

if __name__ == "__main__":
    target, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    for name, data in KINDS.get(target, bytes_of_many_kinds)().items():
        (folder / f"seed-{name}").write_bytes(data)
