"""The published package harmonica-amt, run as it is but for its bfloat16 autocast, which is turned off. Knows nothing of our own programs.

The autocast is why: with it the package's own notes change with the number of threads, so there would be nothing to be equal to.
"""

import contextlib
import copy
import dataclasses

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

    def exact_maps(self, spectrum, frames):
        """The same network in float64 on a spectrum, for the chunks that these frames lie in: what rounding did to either side.

        Gives the frames, and {map: [frames, pitches]}.
        """
        network = copy.deepcopy(self.model.model).double()
        chunk, keep, margin = 156, 78, 39
        padded = np.zeros(((max(1, -(-len(spectrum) // keep)) + 1) * keep, spectrum.shape[1]))
        padded[margin : margin + len(spectrum)] = spectrum
        kept, found = [], {name: [] for name in ("onset", "sustain", "velocity")}
        for first in sorted({frame // keep * keep for frame in frames}):
            inputs = torch.from_numpy(np.ascontiguousarray(padded[first : first + chunk].T))[None, None]
            with torch.inference_mode():
                planes = network.trunk(network.down(network.frontend(network.stem(inputs))))
                sequences = planes[0].permute(1, 2, 0)
                for name, values in found.items():
                    head = network.heads[name]
                    logits = head.linear(head.lstm(sequences)[0])[..., 0]
                    values.append(torch.sigmoid(logits).T[margin : margin + keep].numpy())
            kept.extend(range(first, first + keep))
        inside = [at for at, frame in enumerate(kept) if frame < len(spectrum)]
        return [kept[at] for at in inside], {name: np.concatenate(values)[inside] for name, values in found.items()}

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


def decisions(maps, pitch, onset_threshold, frame_threshold):
    """Every comparison that decoding makes on one pitch: its name, how each frame comes out, and how far its value lies from the edge."""
    onset, sustain, velocity = (maps[name][:, pitch - 21].astype(np.float32) for name in ("onset", "sustain", "velocity"))
    onset_edge, sustain_edge = np.float32(onset_threshold), np.float32(frame_threshold)
    before, after = np.append(np.float32(-1), onset[:-1]), np.append(onset[1:], np.float32(-1))
    loudness = velocity * np.float32(127)
    wide = lambda values: values.astype(np.float64)
    return [
        ("onset against its threshold", onset >= onset_edge, np.abs(wide(onset) - float(onset_edge))),
        ("onset against the frame before", onset >= before, np.abs(wide(onset) - before)),
        ("onset against the frame after", onset > after, np.abs(wide(onset) - after)),
        ("sustain against its threshold", sustain >= sustain_edge, np.abs(wide(sustain) - float(sustain_edge))),
        ("velocity against the next whole number", np.rint(loudness), np.abs(wide(loudness) - np.floor(wide(loudness)) - 0.5) / 127),
    ]


def deciding(note, theirs, ours, onset_threshold, frame_threshold):
    """What comes out differently on the two sides' maps within reach of a note: [(how far the package's value lies from its edge, what)].

    The onset's comparisons with its neighbours matter only where both values could be a peak; the velocity only at the first frame.
    """
    pairs = zip(decisions(theirs, note.pitch, onset_threshold, frame_threshold), decisions(ours, note.pitch, onset_threshold, frame_threshold))
    peaks = np.maximum(theirs["onset"][:, note.pitch - 21], ours["onset"][:, note.pitch - 21]) >= onset_threshold
    found = []
    for (what, one, margins), (_, other, _) in pairs:
        frames = range(max(note.start_frame - 1, 0), min(note.end_frame + 2, len(margins)))
        if what.startswith("velocity"):
            frames = [note.start_frame]
        for at in frames:
            if one[at] != other[at] and (peaks[at] or not what.startswith("onset against the")):
                found.append((float(margins[at]), f"{what}, frame {at}"))
    return found
