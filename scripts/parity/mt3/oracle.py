"""What profile `magenta` must give, computed a second time in plain numpy from its description: front end, tanh GELU, frame times,
encoder and greedy tokens. Writes the fixture that `cargo test -p transcription --test mt3` reads.

    python oracle.py transcription/tests/fixtures/mt3-tiny

reads audio.wav (16 kHz, mono, 16 bit), weights.safetensors and golden.json (sizes) there, and writes magenta.npz. Float64 throughout, and
nothing shared with the program under test. It was not compared with the trained weights or with the authors' own run.
"""

import json
import math
import struct
import sys
import wave
from pathlib import Path

import numpy as np

HOP, WINDOW, BANDS, RATE = 128, 2048, 512, 16_000
# Every so many frames of a segment are kept in the fixture.
STEP = 16
TOKENS = 48


def read_safetensors(path):
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        flat = np.frombuffer(data[8 + length + begin : 8 + length + end], "<f4")
        tensors[name] = flat.reshape(entry["shape"]).astype(np.float64)
    return tensors


def read_wav(path):
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (RATE, 1, 2)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768.0


def mel_matrix():
    def mel(hertz):
        return 1127.0 * np.log1p(np.asarray(hertz) / 700.0)

    edges = np.linspace(mel(20.0), mel(7600.0), BANDS + 2)
    here = mel(np.linspace(0.0, RATE / 2, WINDOW // 2 + 1))[1:, None]
    low, centre, high = edges[None, :-2], edges[None, 1:-1], edges[None, 2:]
    triangles = np.maximum(0.0, np.minimum((here - low) / (centre - low), (high - here) / (high - centre)))
    return np.pad(triangles, ((1, 0), (0, 0)))


def segments(samples, frames):
    """Samples of each segment, a multiple of the hop; a whole hop is added where none is missing."""
    padded = np.pad(samples, (0, HOP - len(samples) % HOP))
    return [padded[at : at + frames * HOP] for at in range(0, len(padded), frames * HOP)]


def log_mel(segment, frames):
    count = len(segment) // HOP
    padded = np.pad(segment, (0, WINDOW))
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    windows = np.stack([padded[HOP * at : HOP * at + WINDOW] for at in range(count)])
    bands = np.abs(np.fft.rfft(windows * hann)) @ mel_matrix()
    logs = np.log(np.where(bands > 0.0, bands, 1e-5))
    return np.pad(logs, ((0, frames - count), (0, 0)))


def gelu(x):
    return 0.5 * x * (1.0 + np.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)))


def positions(count, width):
    half = width // 2
    turns = np.arange(count)[:, None] * np.exp(-np.arange(half) * math.log(1e4) / (half - 1))
    return np.concatenate([np.sin(turns), np.cos(turns)], axis=1).astype(np.float32).astype(np.float64)


def norm(x, scale):
    return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + 1e-6) * scale


class Network:
    def __init__(self, weights, config):
        self.weights, self.config = weights, config

    def linear(self, x, name):
        return x @ self.weights[f"{name}.weight"].T

    def attention(self, x, sound, name, causal=False):
        heads, width = self.config["num_heads"], self.config["head_dim"]

        def split(y):
            return y.reshape(len(y), heads, width).transpose(1, 0, 2)

        q = split(self.linear(x, f"{name}.q_proj"))
        k = split(self.linear(sound, f"{name}.k_proj"))
        v = split(self.linear(sound, f"{name}.v_proj"))
        scores = q @ k.transpose(0, 2, 1)
        if causal:
            scores = np.where(np.tril(np.ones(scores.shape[1:], bool)), scores, -np.inf)
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = (scores / scores.sum(-1, keepdims=True)) @ v
        return self.linear(mixed.transpose(1, 0, 2).reshape(len(x), heads * width), f"{name}.out_proj")

    def mlp(self, x, name):
        return self.linear(gelu(self.linear(x, f"{name}.wi_0")) * self.linear(x, f"{name}.wi_1"), f"{name}.wo")

    def scale(self, name):
        return self.weights[f"{name}.weight"]

    def encode(self, frames):
        x = self.linear(frames, "encoder.input_projection")
        x = x + positions(len(frames), x.shape[1])
        for layer in range(self.config["num_encoder_layers"]):
            name = f"encoder.layers.{layer}"
            y = norm(x, self.scale(f"{name}.norm1"))
            x = x + self.attention(y, y, f"{name}.self_attn")
            x = x + self.mlp(norm(x, self.scale(f"{name}.norm2")), f"{name}.mlp")
        return norm(x, self.scale("encoder.final_norm"))

    def scores(self, tokens, sound):
        x = self.weights["decoder.token_embeddings.weight"][tokens]
        x = x + positions(self.config["max_decoder_length"], x.shape[1])[: len(tokens)]
        for layer in range(self.config["num_decoder_layers"]):
            name = f"decoder.layers.{layer}"
            y = norm(x, self.scale(f"{name}.norm1"))
            x = x + self.attention(y, y, f"{name}.self_attn", causal=True)
            x = x + self.attention(norm(x, self.scale(f"{name}.norm2")), sound, f"{name}.cross_attn")
            x = x + self.mlp(norm(x, self.scale(f"{name}.norm3")), f"{name}.mlp")
        return self.linear(norm(x, self.scale("decoder.final_norm")), "decoder.output_projection")

    def speak(self, sound):
        tokens, gap = [0], np.inf
        while len(tokens) < TOKENS and tokens[-1:] != [1]:
            last = self.scores(tokens, sound)[-1]
            best, second = np.sort(last)[[-1, -2]]
            gap = min(gap, best - second)
            tokens.append(int(np.argmax(last)))
        return tokens, gap


def main(folder):
    config = json.loads((folder / "golden.json").read_text())["config"]
    frames = config["max_encoder_length"]
    network = Network(read_safetensors(folder / "weights.safetensors"), config)
    arrays = {}
    for index, segment in enumerate(segments(read_wav(folder / "audio.wav"), frames)):
        logs = log_mel(segment, frames)
        sound = network.encode(logs)
        tokens, gap = network.speak(sound)
        print(f"segment {index}: {len(segment) // HOP} frames, {len(tokens)} tokens, nearest tie {gap:.2e}")
        arrays[f"frames_{index}"] = logs[::STEP]
        arrays[f"encoder_{index}"] = sound[::STEP]
        arrays[f"tokens_{index}"] = np.array(tokens)
    grid = np.linspace(-6.0, 6.0, 241)
    arrays["gelu_at"], arrays["gelu"] = grid, gelu(grid)
    times = np.arange(600) * frames * HOP / RATE
    # Steps of 10 ms, as the original floors them in float64.
    arrays["start_steps"] = np.round((times - np.fmod(times, 0.01)) * 100)
    np.savez_compressed(folder / "magenta.npz", **{name: array.astype("<f4") for name, array in arrays.items()})


main(Path(sys.argv[1]))
