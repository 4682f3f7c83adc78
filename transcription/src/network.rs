//! The trait that every network fits, and the three roles around it. It knows no particular network and no engine.
//!
//! * [`Segments`]: a recording, lazily cut into what the network sees at once. Runs on a thread of the song's own; the
//!   stream keeps the recording's rate and channels, so down-mix and resampling belong to the network.
//! * [`Network`]: owns the weights on the device. Pulls prepared segments of any songs from the engine's feed whenever it has
//!   free rows, and emits outputs in any order. A one-shot network pulls one batch and returns.
//! * [`Song`]: one song's decoding state on the host. Gets its outputs in song order; may ask for one more device row.

use crate::Error;

/// Says which song and which place in it a segment or an output belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket {
    pub song: u64,
    pub index: usize,
}

/// Prepared segments of the songs that wait, fairly mixed.
pub trait Feed<S> {
    /// At most `rows` segments, one song after the other in turn; empty when none is ready now.
    fn pull(&mut self, rows: usize) -> Vec<(Ticket, S)>;
    /// Whether the song's rows may be dropped: to be looked at between steps.
    fn cancelled(&self, ticket: Ticket) -> bool;
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

    /// Works until the feed has nothing ready. An error fails the songs whose rows were pulled and not emitted.
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
    /// Takes the next output in song order; a returned segment goes to the device once more and its output comes back here.
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
