"""Makes test recordings of many kinds, the same each time, without the network. numpy is enough; programs that happen to be here add a few.

usage: make_recordings.py FOLDER
"""

import pathlib
import shutil
import subprocess
import sys
import wave

import numpy as np

SONG = [(0.0, 60), (0.5, 64), (1.0, 67), (1.5, 72), (2.0, 71), (2.5, 67), (3.0, 62), (3.5, 65), (4.0, 69), (4.5, 74), (5.0, 72), (6.0, 48)]
CHORDS = [(48, 55, 64, 67), (45, 57, 60, 64), (41, 53, 57, 60), (43, 55, 59, 62)]


def hz(pitch):
    return 440.0 * 2.0 ** ((pitch - 69) / 12.0)


def write_wav(path, signal, rate, bits=16):
    """`signal`: samples, or samples x channels, in -1..1; beyond that it clips."""
    signal = np.atleast_2d(np.asarray(signal, dtype=np.float64).T).T
    scale = 2 ** (bits - 1)
    whole = np.clip(np.round(signal * scale), -scale, scale - 1).astype("<i4")
    data = whole.astype("<i2").tobytes() if bits == 16 else whole.reshape(-1, 1).view(np.uint8)[:, :3].tobytes()
    with wave.open(str(path), "wb") as out:
        out.setnchannels(signal.shape[1])
        out.setsampwidth(bits // 8)
        out.setframerate(rate)
        out.writeframes(data)


def struck(pitch, seconds, rate, stiffness=4e-4):
    """A struck string: stretched partials that die away, the high ones first, and a knock."""
    time = np.arange(int(seconds * rate)) / rate
    tone = np.zeros_like(time)
    for partial in range(1, 13):
        frequency = hz(pitch) * partial * np.sqrt(1 + stiffness * partial**2)
        if frequency < rate / 2:
            tone += np.sin(2 * np.pi * frequency * time + partial) * np.exp(-time * (0.8 + 0.45 * partial)) / partial**1.3
    knock = np.random.default_rng(pitch).standard_normal(len(time)) * np.exp(-time * 220) * 0.15
    release = np.minimum(1.0, (seconds - time) / 0.06)
    return (tone + knock) * np.minimum(1.0, time / 0.003) * release * 0.25


def plucked(pitch, seconds, rate):
    """A plucked string: noise that runs round a delay line and loses its edge."""
    length = int(round(rate / hz(pitch)))
    line = np.random.default_rng(pitch).uniform(-1, 1, length)
    out = np.empty(int(seconds * rate))
    for start in range(0, len(out), length):
        part = out[start : start + length]
        part[:] = line[: len(part)]
        line = 0.996 * 0.5 * (line + np.roll(line, 1))
    return out * 0.35


def play(events, seconds, rate, voice, length=0.9):
    out = np.zeros(int(seconds * rate))
    for onset, pitch in events:
        tone = voice(pitch, length, rate)
        start = min(int(onset * rate), len(out))
        out[start : start + len(tone)] += tone[: len(out) - start]
    return out


def piano(rate, seconds=8.0):
    chords = [(2.0 * index, pitch - 12) for index in range(4) for pitch in CHORDS[index][:2]]
    return play(SONG + chords, seconds, rate, struck, 1.8)


def mix(rate, seconds=8.0):
    time = np.arange(int(seconds * rate)) / rate
    out = np.zeros((len(time), 2))
    for index, chord in enumerate(CHORDS):
        on = (time >= 2 * index) & (time < 2 * index + 1.95)
        swell = np.where(on, np.clip((time - 2 * index) / 0.2, 0, 1) * np.clip((2 * index + 1.95 - time) / 0.2, 0, 1), 0)
        for voice, pitch in enumerate(chord):
            saw = sum(np.sin(2 * np.pi * hz(pitch) * partial * time) / partial for partial in range(1, 8))
            out[:, voice % 2] += 0.05 * saw * swell
            out[:, 1 - voice % 2] += 0.02 * saw * swell
    out += play([(0.5 * beat, 36 + 12 * (beat % 2)) for beat in range(16)], seconds, rate, plucked, 0.4)[:, None] * 0.5
    hats = np.random.default_rng(1).standard_normal(out.shape) * (np.exp(-((time % 0.25) * 90))[:, None]) * 0.05
    return out + hats


def glide(rate, seconds=6.0):
    """A singing tone with vibrato and slides: pitch bends."""
    time = np.arange(int(seconds * rate)) / rate
    pitch = 62 + 5 * (time > 2) + 3 * np.clip(time - 4, 0, 1) + 0.4 * np.sin(2 * np.pi * 5.5 * time) * np.clip((time % 2) - 0.4, 0, 0.5) * 2
    phase = 2 * np.pi * np.cumsum(hz(pitch)) / rate
    tone = sum(np.sin(partial * phase) / partial**1.5 for partial in range(1, 7))
    return 0.25 * tone * np.clip((time % 2) / 0.05, 0, 1) * np.clip((1.9 - time % 2) / 0.05, 0, 1)


def held(pitch, seconds, rate):
    """One key of an organ, held: nothing begins or ends in between."""
    time = np.arange(int(seconds * rate)) / rate
    tone = sum(np.sin(2 * np.pi * hz(pitch) * partial * time) / partial for partial in range(1, 7))
    return 0.2 * tone * np.clip(time / 0.02, 0, 1) * np.clip((seconds - time) / 0.05, 0, 1)


def pauses(rate):
    """Notes between digital silences longer than a window."""
    out = np.zeros(int(14 * rate))
    for start, pitches in ((0.0, (60, 64)), (5.0, (57,)), (10.5, (72, 76, 79))):
        for pitch in pitches:
            tone = struck(pitch, 1.2, rate)
            out[int(start * rate) : int(start * rate) + len(tone)] += tone
    return out


def made_of_numbers(folder):
    noise = np.random.default_rng(7)
    write_wav(folder / "piano-44k1-mono.wav", piano(44100), 44100)
    write_wav(folder / "plucked-48k-stereo.wav", np.stack([play(SONG, 8, 48000, plucked), play(SONG[::2], 8, 48000, plucked)], axis=1), 48000)
    write_wav(folder / "mix-44k1-stereo-24bit.wav", mix(44100), 44100, bits=24)
    write_wav(folder / "glide-32k.wav", glide(32000), 32000)
    write_wav(folder / "noise-44k1.wav", noise.standard_normal(44100 * 5) * 0.2, 44100)
    write_wav(folder / "hum-and-noise-22k05.wav", noise.standard_normal(22050 * 5) * 1e-3 + 0.05 * np.sin(2 * np.pi * 50 * np.arange(22050 * 5) / 22050), 22050)
    write_wav(folder / "silence-44k1.wav", np.zeros(44100 * 5), 44100)
    write_wav(folder / "pauses-22k05.wav", pauses(22050), 22050)
    write_wav(folder / "clipped-44k1.wav", piano(44100) * 12, 44100)
    write_wav(folder / "telephone-8k.wav", piano(8000), 8000)
    six = np.stack([np.roll(piano(96000, 4.0), 960 * channel) * (0.9 - 0.1 * channel) for channel in range(6)], axis=1)
    write_wav(folder / "surround-96k-6ch-24bit.wav", six, 96000, bits=24)
    write_wav(folder / "short-half-second.wav", struck(69, 0.5, 44100), 44100)
    # A frame or two of Harmonica, a few of Basic Pitch; and many windows in which nothing changes.
    write_wav(folder / "short-0s05-44k1.wav", struck(69, 0.05, 44100), 44100)
    write_wav(folder / "held-minute-22k05.wav", held(57, 60, 22050), 22050)
    # Exactly three window hops at the network's rate; and a note that sounds until the last sample.
    write_wav(folder / "three-hops-22k05.wav", piano(22050)[: 3 * 36164], 22050)
    write_wav(folder / "last-note-22k05.wav", np.concatenate([np.zeros(22050), struck(64, 2.5, 22050)[: 2 * 22050]]), 22050)
    long = np.concatenate([piano(22050), glide(22050), play(SONG, 8, 22050, plucked), mix(22050).mean(axis=1)])
    write_wav(folder / "long-22k05.wav", np.concatenate([long, long * 0.3]), 22050)


def made_by_programs(folder):
    """What the programs here can add: a voice, a sampled piano, other containers. Each is left out where its program is not there."""
    piano_wav = folder / "piano-44k1-mono.wav"
    mix_wav = folder / "mix-44k1-stereo-24bit.wav"
    run("espeak-ng", "-v", "en", "-s", "120", "-w", folder / "voice.wav", "do re mi fa so la ti do, notes are what we sing and what we write")
    run("flac", "--silent", "--force", "-o", folder / "piano.flac", piano_wav)
    run("flac", "--silent", "--force", "-o", folder / "mix-24bit.flac", mix_wav)
    run("lame", "--quiet", "-b", "192", piano_wav, folder / "piano.mp3")
    run("ffmpeg", "-loglevel", "error", "-y", "-i", mix_wav, "-c:a", "aac", "-b:a", "192k", folder / "mix.m4a")
    banks = [*pathlib.Path("/usr/share/sounds/sf2").glob("*.sf2"), *pathlib.Path("/usr/share/soundfonts").glob("*.sf2")]
    if banks and shutil.which("fluidsynth"):
        midi = folder / "song.mid"
        midi.write_bytes(song_as_midi())
        run("fluidsynth", "-ni", "-q", "-r", "44100", "-F", folder / "sampled-piano.wav", banks[0], midi)
        midi.unlink()


def song_as_midi():
    """SONG as a file for a synthesiser: 480 ticks a beat, 120 beats a minute, half a second a note."""
    def varint(number):
        parts = [number & 0x7F]
        while number := number >> 7:
            parts.insert(0, number & 0x7F | 0x80)
        return bytes(parts)

    events = sorted([(round(onset * 960), 1, pitch) for onset, pitch in SONG] + [(round(onset * 960) + 460, 0, pitch) for onset, pitch in SONG])
    track, now = b"", 0
    for tick, on, pitch in events:
        track += varint(tick - now) + bytes([0x90 if on else 0x80, pitch, 90 if on else 0])
        now = tick
    track += varint(960) + b"\xff\x2f\x00"
    return b"MThd\x00\x00\x00\x06\x00\x00\x00\x01\x01\xe0" + b"MTrk" + len(track).to_bytes(4, "big") + track


def run(program, *arguments):
    if shutil.which(program):
        subprocess.run([program, *map(str, arguments)], check=False, stdin=subprocess.DEVNULL)
    else:
        print(f"recordings: no {program} here, its recording is left out")


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    made_of_numbers(folder)
    made_by_programs(folder)
    for path in sorted(folder.iterdir()):
        print(f"recordings: {path.name} ({path.stat().st_size} bytes)")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(pathlib.Path(sys.argv[1]))
