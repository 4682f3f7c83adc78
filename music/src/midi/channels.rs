//! Which channel each track plays on. There are fifteen besides the drums'; more tracks than that must share.

use crate::Note;

/// The drums' channel (people count from 1 and call it 10).
pub(super) const DRUMS: u8 = 9;
const CHANNELS: u8 = 15;
/// Beyond so many tracks, sharing is decided by load alone.
const MAX_COMPARED: usize = 256;

/// One future track: notes of one program (and of one pitch, where bends are kept per pitch), sorted by time.
pub(super) struct Group<'a> {
    pub(super) program: u8,
    pub(super) is_drum: bool,
    pub(super) notes: Vec<&'a Note>,
}

/// A channel for each group: its own while they last, then one whose notes it overlaps least, of the same program where possible.
pub(super) fn assign(groups: &[Group<'_>]) -> Vec<u8> {
    let mut order: Vec<usize> = (0..groups.len()).collect();
    let count = groups.iter().filter(|group| !group.is_drum).count();
    if count > usize::from(CHANNELS) {
        // The busiest get their own.
        order.sort_by_key(|index| std::cmp::Reverse(groups[*index].notes.len()));
    }
    let mut channels = vec![DRUMS; groups.len()];
    let mut members: Vec<Vec<usize>> = Vec::new();
    for index in order.into_iter().filter(|index| !groups[*index].is_drum) {
        let slot = if members.len() < usize::from(CHANNELS) {
            members.push(Vec::new());
            members.len() - 1
        } else {
            let cost = |slot: &usize| {
                members[*slot]
                    .iter()
                    .map(|other| cost(&groups[index], &groups[*other], count))
                    .sum::<usize>()
            };
            (0..members.len()).min_by_key(cost).unwrap_or(0)
        };
        members[slot].push(index);
        let channel = u8::try_from(slot).unwrap_or(0);
        channels[index] = if channel < DRUMS {
            channel
        } else {
            channel + 1
        };
    }
    channels
}

fn cost(group: &Group<'_>, other: &Group<'_>, count: usize) -> usize {
    let overlaps = if count > MAX_COMPARED {
        other.notes.len()
    } else {
        overlaps(&group.notes, &other.notes)
    };
    overlaps
        + if group.program == other.program {
            0
        } else {
            1_000
        }
}

/// How many notes of one overlap notes of the other; both sorted by time.
fn overlaps(one: &[&Note], other: &[&Note]) -> usize {
    let mut first = 0;
    one.iter()
        .filter(|note| {
            while other
                .get(first)
                .is_some_and(|other| other.offset <= note.onset)
            {
                first += 1;
            }
            other
                .get(first)
                .is_some_and(|other| other.onset < note.offset)
        })
        .count()
}
