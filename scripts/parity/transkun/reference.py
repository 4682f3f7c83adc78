"""The published package transkun 2.0.1, run as its own command runs it. Knows nothing of our own programs."""

import importlib.util
import json
import pathlib
import sys
import types

import numpy as np
import torch

# The package's model reads its settings through moduleconf, and its data module imports what only training and MIDI files need.
for name in ("pretty_midi", "mir_eval"):
    if importlib.util.find_spec(name) is None:
        sys.modules[name] = types.ModuleType(name)

from transkun import ModelTransformer  # noqa: E402
from transkun.transcribe import readAudio  # noqa: E402
from transkun.Util import makeFrame  # noqa: E402

FOLDER = pathlib.Path(ModelTransformer.__file__).parent / "pretrained"


def settings(text):
    config = ModelTransformer.Config()
    config.__dict__.update(text["Model"]["config"])
    return config


class Package:
    """The bundled network."""

    def __init__(self, threads=0):
        if threads:
            torch.set_num_threads(threads)
        torch.set_grad_enabled(False)
        self.model = ModelTransformer.TransKun(conf=settings(json.loads((FOLDER / "2.0.conf").read_text())))
        stored = torch.load(FOLDER / "2.0.pt", map_location="cpu", weights_only=True)
        # Strict, which the package is not: a tensor that does not fit would be left random.
        self.model.load_state_dict(stored["state_dict"], strict=True)
        self.model.eval()

    def samples(self, path):
        """`[samples, channels]` at the network's rate."""
        rate, samples = readAudio(path)
        if rate != self.model.fs:
            import soxr

            samples = soxr.resample(samples, rate, self.model.fs)
        return torch.from_numpy(samples)

    def events(self, samples):
        """(start, end, pitch, velocity), pedals with negative pitches."""
        found = self.model.transcribe(samples, discardSecondHalf=False)
        return [(event.start, event.end, event.pitch, event.velocity) for event in found]


def main(path, out):
    package = Package()
    pathlib.Path(out).write_text(json.dumps(package.events(package.samples(path))))


if __name__ == "__main__":
    main(*sys.argv[1:])
