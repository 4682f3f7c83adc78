"""Records what the published package makes of a small network with random weights, as fixtures that tests read without Python and without its own weights.

usage: record_fixtures.py FOLDER RECORDING

FOLDER then holds
  random-small.pt  a checkpoint of a small network with coarse random weights, as torch.save writes it, packed tighter
  expected.npz     samples at some places; each stage of the third segment at every 997th place; the first segment's best path
  events.json      the package's events of the whole recording
"""

import io
import json
import pathlib
import sys
import zipfile

import numpy as np
import torch

from reference import Package, settings
from transkun import ModelTransformer
from transkun.Util import makeFrame

SEED = 20261124
STEP = 997
SEGMENT = 2
CONFIG = {"Model": {"config": {
    "f_min": 30, "f_max": 8000, "n_mels": 229, "segmentHopSizeInSecond": 1, "segmentSizeInSecond": 2, "hopSize": 1024, "windowSize": 4096, "fs": 44100,
    "nExtraWins": 5, "baseSize": 16, "downsampleF": True, "posEmbedInitGamma": 1, "nHead": 2, "fourierSize": 64, "nLayers": 2, "enabledAttn": ["F", "T"],
    "hiddenFactorAttn": 1, "hiddenFactor": 4, "velocityPredictorHiddenSize": 32, "refinedOFPredictorHiddenSize": 32, "scoringExpansionFactor": 4,
    "useInnerProductScorer": True, "scoreDropoutProb": 0.1, "contextDropoutProb": 0.0, "velocityDropoutProb": 0.1, "refinedOFDropoutProb": 0.1,
}}}


def coarse(shape, scale, generator):
    """Sixteen levels: random enough, and a quarter of the bytes once packed."""
    return (torch.randint(-8, 8, shape, generator=generator).float() + 0.5) / 4.6 * scale


def random_network():
    generator = torch.Generator().manual_seed(SEED)
    model = ModelTransformer.TransKun(conf=settings(CONFIG))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("scale"):
                parameter.copy_(0.5 + coarse(parameter.shape, 0.1, generator))
            elif "winGen" in name:
                parameter.copy_(coarse(parameter.shape, 0.5, generator))
            elif parameter.dim() == 1:
                norm = "downConv" in name and name.split(".")[2] in ("2", "6", "10", "14") and name.endswith("weight")
                parameter.copy_((1.0 if norm else 0.0) + coarse(parameter.shape, 0.2, generator))
            else:
                fan = parameter[0].numel() if parameter.dim() != 3 else parameter.shape[0]
                parameter.copy_(coarse(parameter.shape, fan**-0.5, generator))
        # Few intervals are worth something, as with real weights; single frames fewer still.
        bias, width = model.scorer.map[0].bias, 64
        bias[:width] += 0.8
        bias[width : 2 * width] -= 0.8
        bias[2 * width] -= 2.5
    return model.eval()


def packed(stored, path):
    """torch.save's file with its entries deflated."""
    plain = io.BytesIO()
    torch.save(stored, plain)
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as out:
        for entry in source.infolist():
            out.writestr(zipfile.ZipInfo(entry.filename), source.read(entry), zipfile.ZIP_DEFLATED, 9)


def main(folder, recording):
    folder.mkdir(parents=True, exist_ok=True)
    package = Package(1)
    model = package.model = random_network()
    packed({"state_dict": model.state_dict()}, folder / "random-small.pt")

    samples = package.samples(str(recording))
    stages = {}

    def see(name, shape):
        def hook(_, __, output):
            values = shape(output).contiguous().numpy().reshape(-1)
            stages[name] = np.concatenate([values[::STEP], [np.abs(values).astype(np.float64).mean()]]).astype(np.float32)

        return hook

    sound = 59
    handles = [
        model.framewiseFeatureExtractor.register_forward_hook(see("features", lambda x: x[0, 0])),
        model.backbone.downConv.register_forward_hook(see("sound", lambda x: x[0].permute(1, 2, 0))),
        model.backbone.encoderLayers[-1].register_forward_hook(see("symbols", lambda x: x[0, 1:, sound:].permute(1, 0, 2))),
        model.backbone.register_forward_hook(see("context", lambda x: x[0])),
    ]
    lead, step, length = 44100, 44 * 1024, 88200
    padded = torch.nn.functional.pad(samples.T, (lead, lead))
    segment = padded[:, SEGMENT * step :][:, :length]
    segment = torch.nn.functional.pad(segment, (0, length - segment.shape[-1]))
    crf, _ = model.processFramesBatch(makeFrame(segment, 1024, 4096)[None])
    for handle in handles:
        handle.remove()
    path = crf.decode(forcedStartPos=[0] * 90, forward=False)
    flat = np.array([(symbol, begin, end) for symbol, intervals in enumerate(path) for begin, end in intervals], np.float32)
    above = float((crf.score.permute(2, 1, 0).triu(1) > 0).float().sum() / (90 * 88 * 87 / 2))
    events = package.events(samples)
    np.savez_compressed(
        folder / "expected.npz",
        samples=samples.T.reshape(-1).numpy()[::STEP].astype(np.float32),
        sample_count=np.array([samples.shape[0]], np.float32),
        path=flat.reshape(-1),
        **stages,
    )
    (folder / "events.json").write_text(json.dumps([[round(start, 9), round(end, 9), pitch, velocity] for start, end, pitch, velocity in events], separators=(",", ":")) + "\n")
    for file in sorted(folder.iterdir()):
        print(f"{file} ({file.stat().st_size} bytes)")
    print(f"{len(events)} events, {sum(event[2] < 0 for event in events)} of them pedals; {above:.1%} of the scores are positive; {len(flat)} intervals in segment {SEGMENT}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
