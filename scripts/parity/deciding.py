"""Why two note lists differ: the decisions that fall differently on the two sets of maps, and how near to the edge each of them was.

A note depends on comparisons alone: note values with the frame threshold, onset values with the onset threshold and with their neighbours in time,
127 x amplitude with the rounding edge, and, among the notes found last, which cell is largest. Where all of them fall alike on both sets of maps,
the notes are alike. So each different note must have a comparison beside it that flipped, or touch another different note that has one.
"""

import collections
import dataclasses

import numpy as np

from reference import FRAME_THRESHOLD, ONSET_THRESHOLD, inferred_onsets

# Values further than this from their edge may not fall differently.
TOLERANCE = 1e-5
# A note ends after so many frames below the threshold; its end depends on values as far away.
REACH = 12


@dataclasses.dataclass
class Flip:
    """A comparison that falls one way on their maps and the other way on ours."""

    frame: int
    bin: int
    what: str
    margin: float

    def __str__(self):
        return f"{self.what} at frame {self.frame}, pitch {self.bin + 21}: {self.margin:.2e} from the edge"


class Flips:
    """All flipped comparisons of a pair of maps."""

    def __init__(self, theirs, ours):
        frames = min(len(theirs["note"]), len(ours["note"]))
        self.theirs = theirs["note"][:frames].astype(np.float64)
        self.ours = ours["note"][:frames].astype(np.float64)
        self.all = self._of(self.theirs, self.ours, lambda notes: notes - FRAME_THRESHOLD, "note value")
        theirs_onsets, ours_onsets = (inferred_onsets(maps)[:frames] for maps in (theirs, ours))
        self.all += self._of(theirs_onsets, ours_onsets, lambda onsets: onsets - ONSET_THRESHOLD, "onset value")
        peak = ONSET_THRESHOLD - TOLERANCE
        for what, step in (("onset against the frame before", 1), ("onset against the frame after", -1)):
            # Only where an onset is high enough to count does its being a peak decide anything.
            self.all += self._of(theirs_onsets, ours_onsets, lambda o, s=step: np.where(o >= peak, o - np.roll(o, s, axis=0), 1.0), what, strict=True)

    @staticmethod
    def _of(theirs, ours, margin_of, what, strict=False):
        first, second = margin_of(theirs), margin_of(ours)
        differs = (first > 0) != (second > 0) if strict else (first >= 0) != (second >= 0)
        return [Flip(int(t), int(p), what, float(abs(first[t, p]))) for t, p in zip(*np.nonzero(differs))]

    def beside(self, note):
        """The flips that could have decided this note, nearest to the edge first."""
        near = [
            flip
            for flip in self.all
            if abs(flip.bin - (note.pitch - 21)) <= 1 and note.start_frame - REACH <= flip.frame <= note.end_frame + REACH
        ]
        near += self._order(note)
        return sorted(near, key=lambda flip: flip.margin)

    @staticmethod
    def rounding(note):
        """How near 127 x amplitude is to the edge between two velocities."""
        margin = abs((127 * note.amplitude) % 1 - 0.5) / 127
        return Flip(note.start_frame, note.pitch - 21, "127 x amplitude, rounded", margin)

    def _order(self, note):
        """The largest cell around a note, where it is not the same cell on both maps."""
        low, high = max(note.pitch - 22, 0), min(note.pitch - 19, 88)
        start, end = max(note.start_frame - 1, 0), note.end_frame + 1
        theirs, ours = self.theirs[start:end, low:high], self.ours[start:end, low:high]
        if theirs.size == 0 or theirs.argmax() == ours.argmax():
            return []
        gap = theirs.max() - theirs.flat[ours.argmax()]
        return [Flip(start + int(theirs.argmax()) // (high - low), note.pitch - 21, "largest note value", float(gap))]


def explain(different, flips):
    """For each different note its deciding flip, own or of a different note that it touches; None where there is none within the tolerance."""
    deciding = {}
    places = collections.Counter((note.pitch, note.start_frame, note.end_frame) for note in different)
    for note in different:
        if places[(note.pitch, note.start_frame, note.end_frame)] == 2:
            # The same note on both sides, but for its velocity.
            near = [flips.rounding(note)]
        else:
            near = flips.beside(note)
        # Every flip beside a note must have been close; one that was not is a wrong value, not a close call.
        if near and all(flip.margin <= TOLERANCE for flip in near):
            deciding[note] = near[0]
        elif near:
            deciding[note] = None
    # A note that took other energy with it changes its neighbours: their reason is its reason.
    grown = True
    while grown:
        grown = False
        for note in different:
            if note not in deciding:
                reason = next((deciding[other] for other in different if deciding.get(other) and _touch(note, other)), None)
                if reason is not None:
                    deciding[note] = reason
                    grown = True
    return {note: deciding.get(note) for note in different}


def _touch(one, other):
    return abs(one.pitch - other.pitch) <= 1 and one.start_frame <= other.end_frame + REACH and other.start_frame <= one.end_frame + REACH
