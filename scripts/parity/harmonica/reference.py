"""The published package harmonica-amt, run as it is but for its bfloat16 autocast, which is turned off. Knows nothing of our own programs.

The autocast is why: with it the package's own notes change with the number of threads, so there would be nothing to be equal to.
"""

import contextlib
import dataclasses
import math

import numpy as np
import torch

from harmonica import data, decoding, inference


class Package:
    """A bundled size of the network."""

    def __init__(self, size, threads=0, bfloat16=False):
        if threads:
            torch.set_num_threads(threads)
        self._autocast = contextlib.nullcontext if bfloat16 else _no_autocast
        self.model = inference.Harmonica(size, device="cpu")
        self.onset_threshold, self.frame_threshold = self.model.onset_threshold, self.model.frame_threshold

    def samples(self, path):
        return data.read_audio(str(path), 16000)

    def spectrum(self, samples):
        """[frames, bins]"""
        with torch.inference_mode():
            return self.model.model.spectrogram(torch.from_numpy(samples)[None])[0, 0].T.contiguous().numpy()

    def exact_spectrum(self, samples, frames):
        """The same kernels in float64, for the frames asked: what rounding did to either side."""
        kernels = self.model.model.cqt.kernels.double().numpy()
        padded = np.pad(samples.astype(np.float64), kernels.shape[1] // 2)
        rows = [kernels @ padded[512 * frame : 512 * frame + kernels.shape[1]] for frame in frames]
        products = np.array(rows).reshape(-1, kernels.shape[0])
        half = kernels.shape[0] // 2
        return np.log10(1 + np.hypot(products[:, :half], products[:, half:]))

    def maps(self, samples):
        """onset, sustain and velocity, each [frames, pitches]"""
        with self._autocast():
            found = self.model.activations(samples, 16000)
        return {name: np.ascontiguousarray(values.T, dtype=np.float32) for name, values in found.items()}

    def notes(self, maps):
        found = decoding.decode(
            maps["onset"].T,
            maps["sustain"].T,
            self.model.frames_per_second,
            self.onset_threshold,
            self.frame_threshold,
            maps["velocity"].T,
        )
        rate = self.model.frames_per_second
        rows = zip(found.onsets, found.offsets, found.pitches, found.velocities)
        return [Note(round(on * rate), round(off * rate), int(pitch), int(velocity)) for on, off, pitch, velocity in rows]


@dataclasses.dataclass(frozen=True, order=True)
class Note:
    start_frame: int
    end_frame: int
    pitch: int
    velocity: int

    def __str__(self):
        return f"pitch {self.pitch}, frames {self.start_frame}..{self.end_frame}, velocity {self.velocity}"


@contextlib.contextmanager
def _no_autocast():
    """torch.autocast does nothing inside."""
    real = torch.autocast
    torch.autocast = lambda *_, **__: contextlib.nullcontext()
    try:
        yield
    finally:
        torch.autocast = real


def margin_of(note, maps, onset_threshold, frame_threshold):
    """How near to its edge the nearest value lies that decides this note on these maps, and what it is."""
    pitch = note.pitch - 21
    onset, sustain, velocity = (maps[name][:, pitch].astype(np.float64) for name in ("onset", "sustain", "velocity"))
    frames = len(onset)
    onset_edge, sustain_edge = float(np.float32(onset_threshold)), float(np.float32(frame_threshold))
    margins = []
    for frame in (note.start_frame, note.end_frame):
        for at in range(max(frame - 1, 0), min(frame + 2, frames)):
            margins.append((abs(onset[at] - onset_edge), f"onset at frame {at}"))
            if at + 1 < frames and max(onset[at], onset[at + 1]) >= onset_edge - 1e-4:
                margins.append((abs(onset[at] - onset[at + 1]), f"onsets of frames {at} and {at + 1}"))
    for at in range(note.start_frame + 1, min(note.end_frame + 1, frames)):
        margins.append((abs(sustain[at] - sustain_edge), f"sustain at frame {at}"))
    loudness = velocity[min(note.start_frame, frames - 1)] * 127
    margins.append((abs(loudness - math.floor(loudness) - 0.5) / 127, "velocity"))
    return min(margins)
