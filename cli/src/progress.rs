//! How work in progress looks: a bar where somebody watches, plain lines where a log is written. It must not know where
//! the news come from.

use std::cell::RefCell;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::job::{Job, State};
use crate::ui;

/// A plain line says something new at most this often within a stage.
const STEP_PERCENT: u64 = 10;

/// Where plain lines go: they are the answer of `wtt watch`, and talk beside the answer of everything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lines {
    Answer,
    Talk,
}

/// Bytes on their way out.
pub(crate) fn upload_bar(name: &str, bytes: u64) -> ProgressBar {
    if !ui::can_draw() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template(
        "{msg:24!} upload     {wide_bar} {bytes}/{total_bytes} {bytes_per_sec}",
    )
    .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(bytes)
        .with_style(style)
        .with_message(name.to_owned())
}

/// The life of one transcription, drawn or told.
pub(crate) struct Display {
    bar: Option<ProgressBar>,
    lines: Lines,
    name: String,
    told: RefCell<(State, String, u64)>,
}

impl Display {
    pub(crate) fn new(name: &str, lines: Lines) -> Display {
        let bar = ui::can_draw().then(|| {
            let style = ProgressStyle::with_template(
                "{msg:24!} {prefix:10} {wide_bar} {percent:>3} % {elapsed}",
            )
            .unwrap_or_else(|_| ProgressStyle::default_bar());
            let bar = ProgressBar::new(100)
                .with_style(style)
                .with_message(name.to_owned());
            bar.enable_steady_tick(Duration::from_millis(250));
            bar
        });
        Display {
            bar,
            lines,
            name: name.to_owned(),
            told: RefCell::new((State::Unknown, String::new(), 0)),
        }
    }

    pub(crate) fn show(&self, job: &Job) {
        match &self.bar {
            Some(bar) => draw(bar, job),
            None => self.tell(job),
        }
    }

    /// Takes the bar away, so that what follows stands on clean lines.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn tell(&self, job: &Job) {
        let stage = stage(job).to_owned();
        let percent = percent(job);
        let mut told = self.told.borrow_mut();
        let is_news = told.0 != job.state || told.1 != stage || percent >= told.2 + STEP_PERCENT;
        // The end is told by the command, with the reason or the place of the notes.
        if !is_news || job.state.is_final() {
            return;
        }
        let known = job
            .progress
            .as_ref()
            .and_then(|progress| progress.percent());
        let line = match known.filter(|_| job.state == State::Running) {
            Some(percent) => format!("{}: {stage} {percent} %", self.name),
            None => format!("{}: {stage}", self.name),
        };
        *told = (job.state, stage, percent);
        match self.lines {
            Lines::Answer => ui::line(line),
            Lines::Talk => ui::note(line),
        }
    }
}

fn draw(bar: &ProgressBar, job: &Job) {
    bar.set_prefix(stage(job).to_owned());
    bar.set_position(percent(job));
}

/// The state, or within a running transcription what it does at the moment.
fn stage(job: &Job) -> &str {
    let stage = job
        .progress
        .as_ref()
        .and_then(|progress| progress.stage.as_deref());
    match (job.state, stage) {
        (State::Running, Some(stage)) if !stage.is_empty() => stage,
        (state, _) => state.as_str(),
    }
}

fn percent(job: &Job) -> u64 {
    match job.state {
        State::Running => job
            .progress
            .as_ref()
            .and_then(|progress| progress.percent())
            .unwrap_or(0),
        state if state.is_final() => 100,
        _ => 0,
    }
}
