"""MT3's network in plain PyTorch, decoded in two ways: as the PyTorch port does it, and with a cache. For benchmarks alone.

`Network` reads the weights; `original` recomputes all that was said for each new token, one segment at a time; `static` keeps keys and values in memory
that is allocated once and runs a batch until its longest row is done. Frames are given.
"""

import json
import math
import pathlib

import numpy as np
import torch
import torch.nn.functional as F

HEADS, HEAD, LAYERS, MOST = 6, 64, 8, 1024
START, END = 0, 1
EPSILON = 1e-6


def safetensors(path):
    data = pathlib.Path(path).read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    header.pop("__metadata__", None)

    def tensor(entry):
        begin, end = entry["data_offsets"]
        return torch.from_numpy(np.frombuffer(data[8 + size + begin : 8 + size + end], "<f4").reshape(entry["shape"]).copy())

    return {name: tensor(entry) for name, entry in header.items()}


def places(count, width):
    waves = torch.exp(torch.arange(width // 2) * (-math.log(10000.0) / (width // 2 - 1)))
    turns = torch.arange(count).unsqueeze(1) * waves
    return torch.cat([turns.sin(), turns.cos()], 1)


def heads(x):
    return x.unflatten(-1, (HEADS, HEAD)).transpose(1, 2)


class Network:
    def __init__(self, path):
        self.weights = safetensors(path)
        self.width = self.weights["decoder.token_embeddings.weight"].shape[1]
        self.places = places(MOST, self.width)
        part = lambda name, parts: torch.cat([self.weights[f"{name}.{part}.weight"] for part in parts])  # noqa: E731
        every = range(LAYERS)
        self.qkv = [part(f"decoder.layers.{i}.self_attn", ["q_proj", "k_proj", "v_proj"]) for i in every]
        self.sound_kv = [part(f"decoder.layers.{i}.cross_attn", ["k_proj", "v_proj"]) for i in every]
        self.gates = [part(f"decoder.layers.{i}.mlp", ["wi_0", "wi_1"]) for i in every]

    def linear(self, name, x):
        return F.linear(x, self.weights[f"{name}.weight"])

    def norm(self, name, x):
        return F.rms_norm(x, (self.width,), self.weights[f"{name}.weight"], EPSILON)

    def attention(self, name, x, memory, mask=None):
        """`x` asks `memory`; both `[rows, length, width]`. There is no scale: the trained queries have it."""
        query, key, value = (heads(self.linear(f"{name}.{part}_proj", y)) for part, y in (("q", x), ("k", memory), ("v", memory)))
        scores = query @ key.transpose(-2, -1)
        if mask is not None:
            scores = scores + mask
        return self.linear(f"{name}.out_proj", (scores.softmax(-1) @ value).transpose(1, 2).flatten(2))

    def mlp(self, name, x):
        return self.linear(f"{name}.wo", F.gelu(self.linear(f"{name}.wi_0", x)) * self.linear(f"{name}.wi_1", x))

    def encode(self, frames):
        x = self.linear("encoder.input_projection", frames) + self.places[: frames.shape[1]]
        for index in range(LAYERS):
            name = f"encoder.layers.{index}"
            y = self.norm(f"{name}.norm1", x)
            x = x + self.attention(f"{name}.self_attn", y, y)
            x = x + self.mlp(f"{name}.mlp", self.norm(f"{name}.norm2", x))
        return self.norm("encoder.final_norm", x)

    def scores(self, tokens, sound):
        """Of every place of `[rows, length]` tokens, what may come behind it."""
        length = tokens.shape[1]
        mask = torch.full((length, length), float("-inf")).triu(1)
        x = self.weights["decoder.token_embeddings.weight"][tokens] + self.places[:length]
        for index in range(LAYERS):
            name = f"decoder.layers.{index}"
            y = self.norm(f"{name}.norm1", x)
            x = x + self.attention(f"{name}.self_attn", y, y, mask)
            x = x + self.attention(f"{name}.cross_attn", self.norm(f"{name}.norm2", x), sound)
            x = x + self.mlp(f"{name}.mlp", self.norm(f"{name}.norm3", x))
        return self.linear("decoder.output_projection", self.norm("decoder.final_norm", x))


def choose(scores, gaps):
    """The best that is not the end; `gaps` takes how far it is ahead of the second, where it is asked."""
    scores[:, END] = float("-inf")
    if gaps is None:
        return scores.argmax(-1)
    best = scores.topk(2)
    gaps.append((best.values[:, 0] - best.values[:, 1]).tolist())
    return best.indices[:, 0]


def original(network, frames, length, gaps=None):
    """One segment, `[frames, bands]`: every token anew from all those before it."""
    sound = network.encode(frames.unsqueeze(0))
    tokens = torch.tensor([[START]])
    while tokens.shape[1] < length:
        tokens = torch.cat([tokens, choose(network.scores(tokens, sound)[:, -1], gaps).unsqueeze(1)], 1)
    return tokens[0].tolist()


class Static:
    """So many rows, with keys and values of `MOST` positions allocated once."""

    ENCODED_AT_ONCE = 8

    def __init__(self, network, rows, frames):
        self.network = network
        make = lambda length: [torch.zeros(rows, HEADS, length, HEAD) for _ in range(LAYERS)]  # noqa: E731
        self.keys, self.values, self.sound_keys, self.sound_values = make(MOST), make(MOST), make(frames), make(frames)
        self.attend = self.fused

    @staticmethod
    def fused(query, key, value):
        return F.scaled_dot_product_attention(query, key, value, scale=1.0)

    @staticmethod
    def products(query, key, value):
        return (query @ key.transpose(-2, -1)).softmax(-1) @ value

    def listen(self, frames):
        for first in range(0, len(frames), self.ENCODED_AT_ONCE):
            sound = self.network.encode(frames[first : first + self.ENCODED_AT_ONCE])
            for index, weight in enumerate(self.network.sound_kv):
                key, value = F.linear(sound, weight).chunk(2, -1)
                self.sound_keys[index][first : first + len(sound)] = heads(key)
                self.sound_values[index][first : first + len(sound)] = heads(value)

    def step(self, tokens, at):
        network, rows = self.network, len(tokens)
        x = network.weights["decoder.token_embeddings.weight"][tokens] + network.places[at]
        for index in range(LAYERS):
            name = f"decoder.layers.{index}"
            query, key, value = F.linear(network.norm(f"{name}.norm1", x), network.qkv[index]).view(rows, 3, HEADS, HEAD).unbind(1)
            self.keys[index][:rows, :, at], self.values[index][:rows, :, at] = key, value
            seen = self.attend(query.unsqueeze(2), self.keys[index][:rows, :, : at + 1], self.values[index][:rows, :, : at + 1])
            x = x + network.linear(f"{name}.self_attn.out_proj", seen.flatten(1))
            query = network.linear(f"{name}.cross_attn.q_proj", network.norm(f"{name}.norm2", x)).view(rows, HEADS, 1, HEAD)
            seen = self.attend(query, self.sound_keys[index][:rows], self.sound_values[index][:rows])
            x = x + network.linear(f"{name}.cross_attn.out_proj", seen.flatten(1))
            gate, open_ = F.linear(network.norm(f"{name}.norm3", x), network.gates[index]).chunk(2, -1)
            x = x + network.linear(f"{name}.mlp.wo", F.gelu(gate) * open_)
        return network.linear("decoder.output_projection", network.norm("decoder.final_norm", x))

    def run(self, frames, lengths, gaps=None):
        """A batch until its longest row is done; what others say behind their end is dropped."""
        self.listen(frames)
        said = [torch.full((len(lengths),), START)]
        for at in range(max(lengths) - 1):
            said.append(choose(self.step(said[-1], at), gaps))
        rows = torch.stack(said, 1).tolist()
        return [row[:length] for row, length in zip(rows, lengths)]
