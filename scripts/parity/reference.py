"""The published package basic-pitch, run as it is with its ONNX model. Knows nothing of our own programs.

As a program: reference.py FILE FOLDER   writes samples.f32, note/onset/contour.f32, notes.json, windows.json (the shapes that `wtt debug` writes).
"""

import dataclasses
import json
import logging
import pathlib
import sys
import warnings

import numpy as np
import scipy.signal

logging.disable(logging.WARNING)
warnings.filterwarnings("ignore")

import basic_pitch  # noqa: E402
import librosa  # noqa: E402
from basic_pitch import constants, inference, note_creation  # noqa: E402

RATE = constants.AUDIO_SAMPLE_RATE
WINDOW = constants.AUDIO_N_SAMPLES
OVERLAP_FRAMES = 30
HOP = WINDOW - OVERLAP_FRAMES * constants.FFT_HOP
# What a window adds to the unwrapped maps.
FRAMES_PER_WINDOW = 172 - OVERLAP_FRAMES
ONSET_THRESHOLD = 0.5
FRAME_THRESHOLD = 0.3
MAPS = ("note", "onset", "contour")


@dataclasses.dataclass(frozen=True)
class Settings:
    """The package's options of note creation under the names that ours have, at the package's defaults."""

    onset_threshold: float = ONSET_THRESHOLD
    frame_threshold: float = FRAME_THRESHOLD
    minimum_note_length: float = 127.70
    minimum_frequency: float | None = None
    maximum_frequency: float | None = None
    melodia: bool = True
    inferred_onsets: bool = True

    def as_json(self):
        """Only what differs from the defaults."""
        return {name: value for name, value in dataclasses.asdict(self).items() if value != getattr(Settings, name)}


DEFAULTS = Settings()

_model = None


def model():
    global _model
    if _model is None:
        _model = inference.Model(pathlib.Path(basic_pitch.__file__).parent / "saved_models/icassp_2022/nmp.onnx")
    return _model


@dataclasses.dataclass(frozen=True, order=True)
class Note:
    start_frame: int
    end_frame: int
    pitch: int
    velocity: int
    bends: tuple = ()
    amplitude: float = dataclasses.field(default=0.0, compare=False)
    start_time: float = dataclasses.field(default=0.0, compare=False)
    end_time: float = dataclasses.field(default=0.0, compare=False)

    def as_json(self):
        return {**dataclasses.asdict(self), "bends": list(self.bends)}

    @staticmethod
    def from_json(entry):
        return Note(
            start_frame=entry["start_frame"],
            end_frame=entry["end_frame"],
            pitch=entry["pitch"],
            velocity=entry["velocity"],
            bends=tuple(entry.get("bends") or ()),
            amplitude=entry.get("amplitude", 0.0),
        )


def samples_of(path):
    """The file as the package hears it: one channel at 22,050 Hz."""
    return librosa.load(str(path), sr=RATE, mono=True)[0].astype(np.float32)


def maps_of(path):
    """The three maps, as the package unwraps and cuts them."""
    maps = inference.run_inference(path, model())
    return {name: np.ascontiguousarray(maps[name], dtype=np.float32) for name in MAPS}


def notes_of(maps, settings=DEFAULTS):
    """The package's notes for these maps, in the order in which it finds them."""
    # The package writes into the arrays it is given.
    frames, onsets, contours = (maps[name].copy() for name in MAPS)
    found = note_creation.output_to_notes_polyphonic(
        frames,
        onsets,
        onset_thresh=settings.onset_threshold,
        frame_thresh=settings.frame_threshold,
        infer_onsets=settings.inferred_onsets,
        # Milliseconds to frames as the package's `predict` does it.
        min_note_len=int(np.round(settings.minimum_note_length / 1000 * (RATE / constants.FFT_HOP))),
        min_freq=settings.minimum_frequency,
        max_freq=settings.maximum_frequency,
        melodia_trick=settings.melodia,
    )
    times = note_creation.model_frames_to_time(contours.shape[0])
    return [
        Note(
            start_frame=int(start),
            end_frame=int(end),
            pitch=int(pitch),
            velocity=int(np.round(127 * amplitude)),
            bends=tuple(int(bend) for bend in bends),
            amplitude=float(amplitude),
            start_time=float(times[start]),
            end_time=float(times[end]),
        )
        for start, end, pitch, amplitude, bends in note_creation.get_pitch_bends(contours, found)
    ]


def inferred_onsets(maps):
    """The onset map that peaks are picked from: the network's, raised where the note map rises."""
    with np.errstate(all="ignore"):
        return note_creation.get_infered_onsets(maps["onset"].copy(), maps["note"].copy())


def log_spreads(samples):
    """Largest minus smallest log energy (dB) of each window: what the network's input is divided by.

    An own constant-Q transform in float64, level by level as the network does it. Below 1e-4 dB the network normalises rounding noise, and no two
    implementations agree.
    """
    padded = np.concatenate([np.zeros(OVERLAP_FRAMES * constants.FFT_HOP // 2), samples.astype(np.float64)])
    spreads = []
    for start in range(0, len(padded), HOP):
        window = padded[start : start + WINDOW]
        spreads.append(_log_spread(np.pad(window, (0, WINDOW - len(window)))))
    return spreads


def _kernels():
    bins, per_octave, lowest = 309, 36, 27.5
    quality = 1 / (2 ** (1 / per_octave) - 1)
    top = lowest * 2 ** ((bins - 1) / per_octave)
    kernels, lengths = [], np.ceil(quality * RATE / (lowest * 2 ** (np.arange(bins) / per_octave)))
    for index in range(per_octave):
        frequency = top / 2 ** ((per_octave - 1 - index) / per_octave)
        length = int(np.ceil(quality * RATE / frequency))
        start = int(np.ceil(128 - length / 2)) - length % 2
        turns = np.exp(2j * np.pi * frequency / RATE * np.arange(-(length // 2), length - length // 2))
        kernel = np.zeros(256, dtype=complex)
        kernel[start : start + length] = scipy.signal.get_window("hann", length) * turns / length
        kernels.append(kernel / np.abs(kernel).sum())
    lowpass = scipy.signal.firwin2(256, [0, 0.5 / 1.001, 0.5 * 1.001, 1], [1, 1, 0, 0])
    return np.array(kernels), np.sqrt(lengths), lowpass


_KERNELS = _kernels()


def _log_spread(signal):
    kernels, scales, lowpass = _KERNELS
    octaves, hop = [], constants.FFT_HOP
    for _ in range(9):
        frames = np.lib.stride_tricks.sliding_window_view(np.pad(signal, 128, mode="reflect"), 256)[::hop]
        octaves.insert(0, np.abs(frames[:172] @ kernels.T))
        signal = np.lib.stride_tricks.sliding_window_view(np.pad(signal, 127), 256)[::2] @ lowpass[::-1]
        hop //= 2
    magnitudes = np.concatenate(octaves, axis=1)[:, -309:] * scales
    decibels = 10 * np.log10(magnitudes**2 + 1e-10)
    return float(decibels.max() - decibels.min())


def main(path, folder):
    folder.mkdir(parents=True, exist_ok=True)
    samples, maps = samples_of(path), maps_of(path)
    samples.tofile(folder / "samples.f32")
    for name in MAPS:
        maps[name].tofile(folder / f"{name}.f32")
    (folder / "notes.json").write_text(json.dumps([note.as_json() for note in notes_of(maps)], indent=1))
    spreads = [{"index": index, "log_spread_db": spread} for index, spread in enumerate(log_spreads(samples))]
    (folder / "windows.json").write_text(json.dumps(spreads, indent=1))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
