"""The published package's side of the benchmark: a path a line on standard input, a line of JSON with its stages' seconds for each. A tab and the word
`notes` behind the path ask for the notes as well: pitch, first and last frame, velocity.

usage: package_side.py THREADS   (0: the session as the package makes it)
"""

import json
import os
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "parity"))
# The package may print; standard output is for the answers alone.
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)

import basic_pitch  # noqa: E402
import numpy as np  # noqa: E402
import onnxruntime  # noqa: E402
import reference  # noqa: E402
from basic_pitch import inference, note_creation  # noqa: E402

OVERLAP = reference.OVERLAP_FRAMES * basic_pitch.constants.FFT_HOP


def load(threads):
    model = reference.model()
    if threads:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        weights = pathlib.Path(basic_pitch.__file__).parent / "saved_models/icassp_2022/nmp.onnx"
        model.model = onnxruntime.InferenceSession(str(weights), options, providers=["CPUExecutionProvider"])
    return model


def in_frames(events, frames):
    """The package gives its notes in seconds, by a table that rises with the frames."""
    times = note_creation.model_frames_to_time(frames)
    # Half a frame is 6 ms.
    at = lambda seconds: int(np.searchsorted(times, seconds - 1e-3))
    return [(int(pitch), at(start), at(end), int(np.round(127 * amplitude))) for start, end, pitch, amplitude, _ in events]


def run(model, path, notes_too=False):
    """`inference.predict`, with a clock between its steps."""
    clock = [time.perf_counter()]
    windows = list(inference.get_audio_input(path, OVERLAP, reference.HOP))
    clock.append(time.perf_counter())
    outputs = {name: [] for name in reference.MAPS}
    for window, _, length in windows:
        for name, value in model.predict(window).items():
            outputs[name].append(value)
    maps = {name: inference.unwrap_output(np.concatenate(values), length, reference.OVERLAP_FRAMES) for name, values in outputs.items()}
    clock.append(time.perf_counter())
    frames = int(np.round(127.70 / 1000 * (reference.RATE / basic_pitch.constants.FFT_HOP)))
    _, events = note_creation.model_output_to_notes(maps, onset_thresh=0.5, frame_thresh=0.3, min_note_len=frames)
    clock.append(time.perf_counter())
    decode, network, notes = (after - before for before, after in zip(clock, clock[1:]))
    answer = {"decode": decode, "network": network, "notes": notes, "whole": clock[-1] - clock[0], "windows": len(windows), "counted": len(events)}
    return {**answer, "found": in_frames(events, len(maps["contour"]))} if notes_too else answer


def main(threads):
    model = load(threads)
    for line in sys.stdin:
        path, _, word = line.rstrip("\n").partition("\t")
        print(json.dumps(run(model, path, word == "notes")), file=answers, flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
