"""Records what the published package makes of random weights, as fixtures that tests read without Python and without its own weights.

usage: record_fixtures.py FOLDER RECORDING

FOLDER then holds
  random-nano.pt   a checkpoint of the smallest size with random weights, written by torch.save as the package writes its own
  recording.EXT    the recording, as it is
  expected.npz     samples and spectrum at some places; each stage of the first chunk at every 997th place, with its mean size; all maps
  notes.json       the package's notes, with the thresholds of the checkpoint
  resampler.npz    what its resampler makes of other rates (record_resampler.py)
"""

import json
import pathlib
import shutil
import sys

import numpy as np
import torch

import record_resampler
from harmonica import config, decoding, inference, model
from reference import Package

SEED = 20261124
STEP = 997
FRAMES = (0, 1, 25, 26, 77, 78, 120, 153)


def random_checkpoint(bundled):
    """The bundled nano checkpoint's shape and settings around random weights."""
    torch.manual_seed(SEED)
    network = model.HarmonicaModel(bundled.config.model)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "norm" in name:
                parameter.copy_(torch.rand_like(parameter) + 0.5 if name.endswith("weight") else torch.randn_like(parameter) * 0.2)
            if "linear.weight" in name:
                parameter.mul_(6)
    stored = inference.read_checkpoint(pathlib.Path(inference.resolve_model("nano")))
    return {
        "pipeline": stored["pipeline"],
        "checkpoint_format_version": stored["checkpoint_format_version"],
        # What the network needs; where the authors keep their files is nobody's business.
        "config": {"model": stored["config"]["model"]},
        "model": {name: value for name, value in network.state_dict().items() if not name.startswith("cqt.")},
        "step": 0,
        "thresholds": {"onset": 0.0, "frame": 0.0},
    }, network


def rounded(values):
    """Near enough for the tolerances, and half the size once packed."""
    return (np.round(values.astype(np.float64) * 2**22) / 2**22).astype(np.float32)


def main(folder, recording):
    folder.mkdir(parents=True, exist_ok=True)
    package = Package("nano", threads=1)
    stored, network = random_checkpoint(package.model)
    package.model.model = network.eval()
    samples = package.samples(recording)
    spectrum = package.spectrum(samples)
    maps = package.maps(samples)
    stored["thresholds"] = {"onset": round(float(np.quantile(maps["onset"], 0.8)), 2), "frame": round(float(np.quantile(maps["sustain"], 0.5)), 2)}
    package.onset_threshold, package.frame_threshold = stored["thresholds"]["onset"], stored["thresholds"]["frame"]
    torch.save(stored, folder / "random-nano.pt")

    stages = {}

    def see(name):
        def hook(_, __, output):
            values = output[0].detach().numpy().reshape(-1)
            stages[name] = np.concatenate([values[::STEP], [np.abs(values).astype(np.float64).mean()]]).astype(np.float32)

        return hook

    parts = {"stem": network.stem, "down": network.down}
    parts |= {f"frontend.{index}": part for index, part in enumerate(network.frontend)}
    parts |= {f"trunk.{index}": part for index, part in enumerate(network.trunk)}
    handles = [part.register_forward_hook(see(name)) for name, part in parts.items()]
    chunk = np.zeros((156, 264), np.float32)
    chunk[39:] = spectrum[:117]
    with torch.inference_mode():
        network.forward_spectrogram(torch.from_numpy(np.ascontiguousarray(chunk.T))[None, None])
    for handle in handles:
        handle.remove()

    shutil.copyfile(recording, folder / f"recording{recording.suffix}")
    np.savez_compressed(
        folder / "expected.npz",
        samples=samples[::STEP],
        sample_count=np.array([len(samples)], np.float32),
        spectrum=spectrum[list(FRAMES)],
        **{f"stage.{name}": values for name, values in stages.items()},
        **{name: rounded(values) for name, values in maps.items()},
    )
    notes = [[note.start_frame, note.end_frame, note.pitch, note.velocity] for note in sorted(package.notes({name: rounded(values) for name, values in maps.items()}))]
    (folder / "notes.json").write_text(json.dumps({"thresholds": stored["thresholds"], "notes": notes}, separators=(",", ":")) + "\n")
    record_resampler.main(folder)
    for file in sorted(folder.iterdir()):
        print(f"{file} ({file.stat().st_size} bytes)")
    print(f"{len(notes)} notes in {len(spectrum)} frames, thresholds {stored['thresholds']}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
