"""Records what scipy's resampler, called as the package calls it, makes of sounds that the test makes too. numpy and scipy are enough.

usage: record_resampler.py FOLDER

FOLDER then holds resampler.npz; for each RATE
  RATE.some    every 13th sample at 16 kHz
  RATE.last    the last 32
  RATE.count   how many there are
"""

import math
import pathlib
import sys

import numpy as np
from scipy.signal import resample_poly

RATES = (8000, 44100, 48000, 96000)
STEP = 13
LAST = 32


def sound(rate):
    """A quarter of a second and a sample of a tone and of noise from a generator that is easily written again."""
    state, samples = 1, []
    for at in range(rate // 4 + 1):
        state = (state * 1664525 + 1013904223) % 2**32
        samples.append(0.5 * math.sin(2 * math.pi * 440 * at / rate) + 0.25 * (state / 2**31 - 1))
    return np.array(samples, np.float32)


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {}
    for rate in RATES:
        divisor = math.gcd(rate, 16000)
        samples = resample_poly(sound(rate), 16000 // divisor, rate // divisor).astype(np.float32)
        arrays |= {f"{rate}.some": samples[::STEP], f"{rate}.last": samples[-LAST:], f"{rate}.count": np.array([len(samples)], np.float32)}
    file = folder / "resampler.npz"
    np.savez_compressed(file, **arrays)
    print(f"{file} ({file.stat().st_size} bytes)")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(pathlib.Path(sys.argv[1]))
