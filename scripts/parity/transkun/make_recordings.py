"""Plays piano pieces, the same each time, with the sampled pianos of Debian's soundfonts: stereo, with pedals, one of them long, one at 48 kHz.

usage: make_recordings.py FOLDER
"""

import pathlib
import random
import shutil
import struct
import subprocess
import sys

SEED = 20261124
TICKS = 480  # a quarter, at 120 a minute: half a second
FONTS = {
    "fluid": "/usr/share/sounds/sf2/FluidR3_GM.sf2",
    "timgm": "/usr/share/sounds/sf2/TimGM6mb.sf2",
    "musescore": "/usr/share/sounds/sf3/MuseScore_General_Lite.sf3",
}
CHORDS = [(0, 4, 7), (9, 12, 16), (5, 9, 12), (7, 11, 14), (2, 5, 9), (4, 7, 11)]
SCALE = (0, 2, 4, 5, 7, 9, 11)


class Piece:
    """Notes and pedals in seconds."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.events = []

    def note(self, start, seconds, pitch, velocity):
        if 21 <= pitch <= 108:
            velocity = max(1, min(127, round(velocity)))
            self.events += [(start, 2, bytes([0x90, pitch, velocity])), (start + seconds, 0, bytes([0x80, pitch, 0]))]

    def pedal(self, start, seconds, controller):
        self.events += [(start, 1, bytes([0xB0, controller, 127])), (start + seconds, 1, bytes([0xB0, controller, 0]))]

    def midi(self):
        track, now = b"", 0
        for seconds, _, event in sorted(self.events):
            tick = round(seconds * 2 * TICKS)
            track += length(tick - now) + event
            now = tick
        track += b"\x00\xff\x2f\x00"
        return b"MThd" + struct.pack(">IHHH", 6, 0, 1, TICKS) + b"MTrk" + struct.pack(">I", len(track)) + track


def length(number):
    """MIDI's numbers of seven bits a byte."""
    out = [number & 127]
    while number := number >> 7:
        out.append(128 | number & 127)
    return bytes(reversed(out))


def broken_chords(piece, begin, seconds):
    """A bass, a broken chord and a tune, the pedal changed with the harmony."""
    bar = 2.0
    for index in range(int(seconds / bar)):
        start = begin + index * bar
        chord = piece.random.choice(CHORDS)
        piece.note(start, bar * 0.9, 36 + chord[0], 70)
        for step in range(8):
            pitch = 48 + chord[(step * 2) % 3] + 12 * (step % 2)
            piece.note(start + step * bar / 8, bar / 8 * 0.95, pitch, piece.random.uniform(35, 60))
        now = start
        while now < start + bar - 0.1:
            held = piece.random.choice([0.25, 0.5, 0.5, 1.0])
            pitch = 60 + piece.random.choice(SCALE) + 12 * piece.random.randint(0, 1)
            piece.note(now, held * 0.97, pitch, piece.random.uniform(60, 110))
            now += held
        piece.pedal(start + 0.06, bar - 0.1, 64)


def runs(piece, begin, seconds):
    """Scales up and down, repeated notes and sudden chords, without a pedal."""
    now, place = begin, 14
    while now < begin + seconds:
        kind = piece.random.random()
        if kind < 0.7:
            up = piece.random.choice([-1, 1])
            for _ in range(piece.random.randint(4, 12)):
                place = max(0, min(35, place + up))
                piece.note(now, 0.11, 36 + 12 * (place // 7) + SCALE[place % 7], piece.random.uniform(45, 100))
                now += 0.12
        elif kind < 0.85:
            pitch = 48 + piece.random.choice(SCALE) + 12 * piece.random.randint(0, 2)
            for _ in range(piece.random.randint(3, 7)):
                piece.note(now, 0.09, pitch, piece.random.uniform(50, 120))
                now += 0.14
        else:
            for offset in (0, 12, 24):
                for step in piece.random.choice(CHORDS):
                    piece.note(now, 0.7, 36 + offset + step, piece.random.uniform(70, 125))
            now += 0.8


def soft(piece, begin, seconds):
    """Slow chords under the soft pedal, some held for long, the sustain pedal now and then."""
    now = begin
    while now < begin + seconds:
        held = piece.random.choice([1.0, 2.0, 4.0])
        for step in piece.random.choice(CHORDS):
            piece.note(now, held * 1.2, piece.random.choice([36, 48, 60, 72]) + step, piece.random.uniform(20, 55))
        if piece.random.random() < 0.5:
            piece.pedal(now + 0.1, held * 0.8, 64)
        now += held
    piece.pedal(begin, seconds, 67)


def pieces():
    first = Piece(SEED)
    broken_chords(first, 0.5, 40)
    yield "broken-chords-fluid-44k1", first, "fluid", 44100
    second = Piece(SEED + 1)
    for part in range(5):
        broken_chords(second, 0.3 + part * 40, 14)
        runs(second, 15 + part * 40, 12)
        soft(second, 29 + part * 40, 10)
    yield "long-timgm-44k1", second, "timgm", 44100
    third = Piece(SEED + 2)
    soft(third, 0.4, 16)
    runs(third, 18, 14)
    broken_chords(third, 33, 12)
    yield "soft-and-runs-musescore-48k", third, "musescore", 48000


def render(piece, wav, font, rate):
    if not shutil.which("fluidsynth"):
        sys.exit("fluidsynth is missing; install it: apt-get install fluidsynth")
    if not pathlib.Path(FONTS[font]).exists():
        sys.exit(f"{FONTS[font]} is missing; install it: apt-get install fluid-soundfont-gm timgm6mb-soundfont musescore-general-soundfont-small")
    midi = wav.with_suffix(".mid")
    midi.write_bytes(piece.midi())
    command = ["fluidsynth", "-n", "-i", "-q", "-r", str(rate), "-g", "0.5", "-F", wav, FONTS[font], midi]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    midi.unlink()
    return wav


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for name, piece, font, rate in pieces():
        print(render(piece, folder / f"{name}.wav", font, rate))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(pathlib.Path(sys.argv[1]))
