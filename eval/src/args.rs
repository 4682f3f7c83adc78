//! The command line.

use std::path::PathBuf;

use clap::Parser;

/// Transcribe pieces whose notes are known and count what was found
#[derive(Parser, Debug)]
#[command(name = "eval")]
pub(crate) struct Args {
    /// Networks to compare, as `wtt transcribe --model` takes them; `peaks` is the spectral-peak baseline. All that have published
    /// weights, which is slow: harmonica:x-large may need five times as long as the recordings last. Rows of networks that are not
    /// named stay as an earlier run left them
    #[arg(
        long,
        env = "MODELS",
        value_delimiter = ',',
        default_value = "peaks,basic-pitch,harmonica:nano,harmonica:small,harmonica:medium,harmonica:large,harmonica:x-large,transkun"
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
    /// Where the networks run: cpu, cuda or cuda:N
    #[arg(long, default_value = "cpu")]
    pub(crate) device: String,
    /// In what the networks compute: f32, tf32 or bf16; the latter two on a GPU, bf16 also with --libtorch. A row of its own
    #[arg(long, default_value = "f32")]
    pub(crate) precision: String,
    /// Run the networks in libtorch's operations on the CPU too, which is slower. A row of its own
    #[arg(long)]
    pub(crate) libtorch: bool,
    /// Where recordings, notes and, without --write-docs, results.json go; rows of an earlier run with the same corpus stay
    #[arg(long, default_value = "target/eval")]
    pub(crate) folder: PathBuf,
    /// Keep the rows in docs/eval.json, and write the table and the plot into the documents; refused where a row would be lost
    #[arg(long)]
    pub(crate) write_docs: bool,
    /// Seed of the generated pieces and of the bootstrap: another one makes another corpus
    #[arg(long, default_value_t = 20_261_123)]
    pub(crate) seed: u64,
}
