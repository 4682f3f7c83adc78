"""Counts the pairs that `make eval` left with mir_eval, and compares with what the evaluation itself counted.
usage: crosscheck.py target/eval/pairs.json

Notes of one pitch can often be paired in several ways, and the largest matching is not unique. How many notes are paired is the
same in each, so onsets and offsets must agree as they are. Velocities are compared within the pairs, so for them mir_eval is given
the evaluation's own pairs, once its rules have found each of them right and as many as its own matching has."""

import json
import sys
from unittest import mock

import mir_eval
import numpy as np

MEASURES = {"onset": dict(offset_ratio=None), "onset_10ms": dict(offset_ratio=None, onset_tolerance=0.01), "offset": {}}
KEYS = ("precision", "recall", "f")
# Two ways of fitting a line differ in the last bits, so a velocity right at the limit of 0.1 may fall on either side.
ROUNDING = 1e-9


def arrays(notes):
    intervals = np.array([[note["onset"], note["offset"]] for note in notes]).reshape(-1, 2)
    pitches = 440.0 * 2.0 ** ((np.array([note["pitch"] for note in notes], dtype=float) - 69.0) / 12.0)
    velocities = np.array([note["velocity"] for note in notes], dtype=float)
    return intervals, pitches, velocities


def apart(values, ours):
    return max(abs(value - ours[key]) for value, key in zip(values, KEYS))


def wrong_pairs(reference, estimated, pairs):
    """What mir_eval has against the pairs as a largest matching; None: nothing."""
    if len({r for r, _ in pairs}) != len(pairs) or len({e for _, e in pairs}) != len(pairs):
        return "a note is in two pairs"
    for r, e in pairs:
        one = [array[[r]] for array in reference[:2]] + [array[[e]] for array in estimated[:2]]
        if not mir_eval.transcription.match_notes(*one):
            return f"reference note {r} and estimated note {e} do not fit"
    largest = len(mir_eval.transcription.match_notes(*reference[:2], *estimated[:2]))
    return None if largest == len(pairs) else f"{len(pairs)} pairs, mir_eval finds {largest}"


def velocity(reference, estimated, tolerance=0.1):
    return mir_eval.transcription_velocity.precision_recall_f1_overlap(*reference, *estimated, velocity_tolerance=tolerance)[:3]


def velocity_of_pairs(reference, estimated, pairs, ours):
    """Whether mir_eval counts the velocities of these pairs as we did, and what it counted."""
    with mock.patch.object(mir_eval.transcription, "match_notes", return_value=[tuple(pair) for pair in pairs]):
        least, values, most = (velocity(reference, estimated, 0.1 + shift) for shift in (-ROUNDING, 0.0, ROUNDING))
    between = all(low - ROUNDING <= ours[key] <= high + ROUNDING for low, high, key in zip(least, most, KEYS))
    return between, values


def check(pair):
    """Every difference of one transcription, and how far the velocity's F is from that of mir_eval's own pairs."""
    reference, estimated, measures = arrays(pair["reference"]), arrays(pair["estimated"]), pair["measures"]
    wrong = []
    for name, options in MEASURES.items():
        values = mir_eval.transcription.precision_recall_f1_overlap(*reference[:2], *estimated[:2], **options)[:3]
        if not apart(values, measures[name]) < ROUNDING:
            wrong.append(f"{name}: ours {measures[name]}, mir_eval {values}")
    if not len(reference[0]) or not len(estimated[0]):
        if any(measures["velocity"][key] != 0 for key in KEYS) or pair["pairs_with_offset"]:
            wrong.append(f'velocity: ours {measures["velocity"]} though one side has no notes')
        return wrong, 0.0
    against = wrong_pairs(reference, estimated, pair["pairs_with_offset"])
    if against:
        wrong.append(f"pairs: {against}")
    agrees, values = velocity_of_pairs(reference, estimated, pair["pairs_with_offset"], measures["velocity"])
    if not agrees:
        wrong.append(f'velocity: ours {measures["velocity"]}, mir_eval of the same pairs {values}')
    return wrong, abs(velocity(reference, estimated)[2] - measures["velocity"]["f"])


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        pairs = json.load(file)
    wrong, otherwise = [], []
    for pair in pairs:
        differences, by_other_pairs = check(pair)
        wrong += [f'{pair["model"]} {pair["file"]} {difference}' for difference in differences]
        if by_other_pairs > ROUNDING:
            otherwise.append(by_other_pairs)
    print(f"crosscheck: {len(pairs) * (len(MEASURES) + 1)} measures of {len(pairs)} transcriptions, {len(wrong)} differ")
    print(
        f"crosscheck: with pairs of mir_eval's own choice {len(otherwise)} velocity measures would be others, "
        f"by {max(otherwise, default=0.0):.3f} at most"
    )
    for line in wrong:
        print(f"crosscheck: {line}")
    sys.exit(bool(wrong) or not pairs)


if __name__ == "__main__":
    main()
