"""Counts the pairs that `make eval` left with mir_eval, and compares with what the evaluation itself counted.
usage: crosscheck.py target/eval/pairs.json"""

import json
import sys

import mir_eval
import numpy as np

MEASURES = {"onset": dict(offset_ratio=None), "onset_10ms": dict(offset_ratio=None, onset_tolerance=0.01), "offset": {}}


def arrays(notes):
    intervals = np.array([[note["onset"], note["offset"]] for note in notes]).reshape(-1, 2)
    pitches = 440.0 * 2.0 ** ((np.array([note["pitch"] for note in notes], dtype=float) - 69.0) / 12.0)
    velocities = np.array([note["velocity"] for note in notes], dtype=float)
    return intervals, pitches, velocities


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        pairs = json.load(file)
    wrong, close, compared = [], 0, 0
    for pair in pairs:
        reference, estimated = arrays(pair["reference"]), arrays(pair["estimated"])
        expected = {
            name: mir_eval.transcription.precision_recall_f1_overlap(*reference[:2], *estimated[:2], **options)[:3]
            for name, options in MEASURES.items()
        }
        expected["velocity"] = (
            mir_eval.transcription_velocity.precision_recall_f1_overlap(*reference, *estimated)[:3]
            if len(estimated[0]) and len(reference[0])
            else (0.0, 0.0, 0.0)
        )
        for name, values in expected.items():
            ours = pair["measures"][name]
            compared += 1
            difference = max(abs(a - ours[key]) for a, key in zip(values, ("precision", "recall", "f")))
            if difference < 1e-9:
                continue
            # Two largest matchings may pair other notes of one pitch, and velocity looks at the pairs.
            if name == "velocity" and difference < 2.5 / max(1, min(len(reference[0]), len(estimated[0]))):
                close += 1
                continue
            wrong.append(f'{pair["model"]} {pair["file"]} {name}: ours {ours}, mir_eval {values}')
    print(f"crosscheck: {compared} measures of {len(pairs)} transcriptions, {len(wrong)} differ")
    print(f"crosscheck: {close} velocity measures differ by one or two notes, where a note could be paired in two ways")
    for line in wrong:
        print(f"crosscheck: {line}")
    sys.exit(bool(wrong) or not pairs)


if __name__ == "__main__":
    main()
