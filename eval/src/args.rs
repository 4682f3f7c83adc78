//! The command line.

use std::path::PathBuf;

use clap::Parser;

/// Transcribe pieces whose notes are known and count what was found
#[derive(Parser, Debug)]
#[command(name = "eval")]
pub(crate) struct Args {
    /// Networks to compare, as `wtt transcribe --model` takes them; `peaks` is the spectral-peak baseline. More cost time:
    /// harmonica:x-large needs five times as long as the recordings last
    #[arg(
        long,
        env = "MODELS",
        value_delimiter = ',',
        default_value = "peaks,basic-pitch,harmonica:nano,harmonica:small,harmonica:medium"
    )]
    pub(crate) models: Vec<String>,
    /// Play with these soundfonts only (parts of their names); fewer are quicker and say less
    #[arg(long, value_delimiter = ',')]
    pub(crate) fonts: Vec<String>,
    /// Take only pieces whose name holds one of these
    #[arg(long, value_delimiter = ',')]
    pub(crate) pieces: Vec<String>,
    /// The `wtt` that transcribes
    #[arg(long, default_value = "target/release/wtt")]
    pub(crate) wtt: PathBuf,
    /// CPU threads of the network; 0 takes all cores
    #[arg(long, default_value_t = 0)]
    pub(crate) threads: usize,
    /// Where recordings, notes and results.json go; what is there from an earlier run with the same corpus is used again
    #[arg(long, default_value = "target/eval")]
    pub(crate) folder: PathBuf,
    /// Write the table and the plot into the documents as well
    #[arg(long)]
    pub(crate) write_docs: bool,
    /// Seed of the generated pieces and of the bootstrap: another one makes another corpus
    #[arg(long, default_value_t = 20_261_123)]
    pub(crate) seed: u64,
}
