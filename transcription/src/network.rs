//! The trait that every network fits, and the three roles around it. It knows no particular network and no engine.
//!
//! * [`Segments`]: a recording, lazily cut into what the network sees at once. Runs on a thread of the song's own; the
//!   stream keeps the recording's rate and channels, so down-mix and resampling belong to the network.
//! * [`Network`]: owns the weights on the device. Pulls prepared segments of any songs from the engine's feed whenever it has
//!   free rows, and emits outputs in any order. A one-shot network pulls one batch and returns.
//! * [`Song`]: one song's decoding state on the host. Gets its outputs in song order; may ask for one more device row.

use crate::precision::Precision;
use crate::{DeviceChoice, Error};

/// Says which song and which place in it a segment or an output belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket {
    pub song: u64,
    pub index: usize,
}

/// Prepared segments of the songs that wait, fairly mixed.
pub trait Feed<S> {
    /// At most `rows` segments, one song after the other in turn; empty when none is ready now, or when another network's songs
    /// have waited long enough: then finish what is under way and return.
    ///
    /// In a run [for parity](Feed::parity) a pull hands out the rows of one group, whatever `rows` says: at most [`Network::GROUP`],
    /// all of one song, and the same ones in the same places whatever else waits.
    fn pull(&mut self, rows: usize) -> Vec<(Ticket, S)>;

    /// Whether the song's rows may be dropped: to be looked at between steps.
    fn cancelled(&self, ticket: Ticket) -> bool;

    /// Whether this run is for songs whose numbers must not depend on their neighbours. Then each group is computed as a batch of its
    /// own of exactly [`Network::GROUP`] rows: missing ones are padded with empty rows, finished or cancelled ones stay as dead
    /// rows until the group is done, and a row never moves. Several groups may be resident at once, each for itself.
    /// A network whose rows are computed one by one has nothing to pad.
    fn parity(&self) -> bool {
        false
    }

    /// Takes back rows that were pulled and are not emitted, because a step failed or there is no memory for so many. They come again:
    /// after an out-of-memory in smaller batches, after another failure one song at a time, so that only the song that cannot
    /// be done fails. Rows that are under way and not given back when `run` fails are failed with it.
    fn give_back(&mut self, rows: Vec<(Ticket, S)>) {
        drop(rows);
    }

    /// To be asked before each step on the device: fails where a test wants that step to fail.
    fn before_step(&mut self) -> Result<(), Error> {
        Ok(())
    }
}

/// Takes outputs as they become ready.
pub trait Sink<O> {
    /// The rows that were finished together: the time since the last call is theirs in equal shares.
    fn emit(&mut self, finished: Vec<(Ticket, O)>);
}

/// A recording cut into segments.
pub trait Segments: Send {
    type Segment;
    /// The next segment, or `None` at the end.
    fn next(&mut self) -> Result<Option<Self::Segment>, Error>;
    /// The recording below, for its length and its warnings.
    fn recording(&self) -> &audio::Recording;
    /// How many segments there will be, where the recording's header tells.
    fn expected(&self) -> Option<u64>;
}

/// A network on its device.
pub trait Network {
    /// One device row's input, on the host.
    type Segment: Send + 'static;
    /// One device row's output, on the host.
    type Output: Send + 'static;

    /// Rows of a group under parity: small, because a song's last group is padded to it. One: each row is a batch of its own, with
    /// nothing to pad.
    const GROUP: usize = 1;

    /// What it computes in when the process was started with `asked`; goes into the provenance. A network that answers
    /// [`Precision::Bf16`] is run under libtorch's autocast and brings its outputs back to float32 itself.
    fn precision(asked: Precision, device: DeviceChoice) -> Precision
    where
        Self: Sized,
    {
        asked.without_bf16(device)
    }

    /// How many rows it works on at once: songs prepare about twice as many ahead.
    fn rows(&self) -> usize {
        8
    }

    /// Works until the feed has nothing ready. An error fails the songs whose rows were pulled, not emitted and not given back.
    fn run(
        &mut self,
        feed: &mut dyn Feed<Self::Segment>,
        sink: &mut dyn Sink<Self::Output>,
    ) -> Result<(), Error>;
}

/// One song's decoding state.
pub trait Song: Send + 'static {
    type Segment: Send + 'static;
    type Output: Send + 'static;

    /// Cuts the recording; called once, before the first output.
    fn segments(
        &self,
        recording: audio::Recording,
    ) -> Result<Box<dyn Segments<Segment = Self::Segment>>, Error>;
    /// Takes the next output in song order; a returned segment goes to the device once more and its output comes back here. It comes
    /// after the outputs of whatever was prepared before it was asked for, which is a matter of time: notes must not depend on it.
    fn notes(&mut self, output: Self::Output) -> Result<Option<Self::Segment>, Error>;
    /// Everything was seen: the song's notes.
    fn finish(&mut self) -> Result<Decoded, Error>;
}

/// What a song came to.
#[derive(Debug, Default)]
pub struct Decoded {
    pub notes: Vec<music::Note>,
    pub pedals: Vec<music::Pedal>,
    pub warnings: Vec<String>,
}
