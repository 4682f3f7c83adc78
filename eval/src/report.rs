//! The table and its place in the documents. Pure, but for reading and writing the page.

use anyhow::{Context, Result};

use crate::bootstrap::{Interval, difference};
use crate::clip::Group;
use crate::row::{Row, name};
use crate::session::Session;
use crate::{plot, transcribe};

const PAGE: &str = "docs/models.md";
const PLOT: &str = "docs/images/models.svg";
const BEGIN: &str = "<!-- eval: begin (written by make eval) -->";
const END: &str = "<!-- eval: end -->";

/// What a table is made of.
pub(crate) struct Table<'a> {
    pub(crate) corpus: &'a str,
    pub(crate) rows: &'a [Row],
    /// The piece of each clip, in the order of a row's.
    pub(crate) pieces: &'a [&'a str],
    /// The newest run's: its speeds are the ones that may be compared.
    pub(crate) session: &'a Session,
    pub(crate) seed: u64,
}

impl Table<'_> {
    /// Quickest to read first: what is found at all, then how well, then how fast.
    pub(crate) fn markdown(&self) -> String {
        let groups: Vec<&str> = Group::ALL
            .iter()
            .map(|group| group.word())
            .filter(|group| self.rows.iter().any(|row| row.groups.contains_key(*group)))
            .collect();
        let mut text = format!(
            "Corpus: {}. In brackets behind a figure: 95 % of draws.\n\n| model | onset F | beside the best network | onset within 10 ms | onset and offset | and velocity |",
            self.corpus
        );
        for group in &groups {
            text += &format!(" {group} |");
        }
        text += " times real time |\n|---|---|---|---|---|---|";
        text += &"---|".repeat(groups.len() + 1);
        let best = best(self.rows);
        for row in self.rows {
            text += &format!(
                "\n| {} | **{:.3}** ({:.2} - {:.2}) | {} | {} | {} | {} |",
                name(&row.label),
                row.onset.mean,
                row.onset.low,
                row.onset.high,
                self.beside(row, best),
                range(row.onset_10ms),
                range(row.offset),
                range(row.velocity)
            );
            for group in &groups {
                text += &row
                    .groups
                    .get(*group)
                    .map_or(" |".to_owned(), |f| format!(" {f:.3} |"));
            }
            text += &if row.measured.comparable(self.session) {
                format!(" {:.1} |", row.times_real_time)
            } else {
                format!(" ({:.1}) |", row.times_real_time)
            };
        }
        text + "\n\n" + &self.measured()
    }

    /// How much more or less a row found than the best network, clip by clip.
    fn beside(&self, row: &Row, best: Option<&Row>) -> String {
        match best {
            Some(best) if best.label == row.label => "the best".to_owned(),
            Some(best) => {
                let Interval { mean, low, high } =
                    difference(&row.clips, &best.clips, self.pieces, self.seed);
                format!("{mean:+.3} ({low:+.3} to {high:+.3})")
            }
            None => String::new(),
        }
    }

    /// Which rows come from which run, the newest first.
    fn measured(&self) -> String {
        let mut runs: Vec<(&Session, Vec<&str>)> = Vec::new();
        for row in self.rows {
            match runs.iter_mut().find(|run| *run.0 == row.measured) {
                Some(run) => run.1.push(name(&row.label)),
                None => runs.push((&row.measured, vec![name(&row.label)])),
            }
        }
        runs.sort_by_key(|run| (run.0 != self.session, std::cmp::Reverse(run.0.date.clone())));
        let lines: Vec<String> = runs
            .iter()
            .map(|(session, names)| {
                let note = if session.comparable(self.session) {
                    ""
                } else {
                    " Another day or machine: speeds in brackets, not to be compared with the others."
                };
                format!("Measured {}: {}.{note}", session.words(), names.join("; "))
            })
            .collect();
        lines.join("\n\n")
    }
}

fn range(of: Interval) -> String {
    format!("{:.3} ({:.2} - {:.2})", of.mean, of.low, of.high)
}

/// The network that found the most; the baseline is none.
fn best(rows: &[Row]) -> Option<&Row> {
    rows.iter()
        .filter(|row| row.label != transcribe::BASELINE)
        .max_by(|a, b| a.onset.mean.total_cmp(&b.onset.mean))
}

/// The names of the rows that the page shows now.
pub(crate) fn shown() -> Result<Vec<String>> {
    let page = fs_err::read_to_string(PAGE)?;
    let (_, table, _) = parts(&page)?;
    Ok(names(table))
}

/// The first cells of a table, without its head.
fn names(table: &str) -> Vec<String> {
    table
        .lines()
        .filter_map(|line| line.strip_prefix("| "))
        .filter_map(|line| line.split(" |").next())
        .filter(|cell| *cell != "model")
        .map(str::to_owned)
        .collect()
}

/// Puts the table between the marks of the page, and draws the plot anew.
pub(crate) fn write_docs(table: &Table) -> Result<()> {
    let page = fs_err::read_to_string(PAGE)?;
    let (before, _, after) = parts(&page)?;
    let markdown = table.markdown();
    fs_err::write(PAGE, format!("{before}{BEGIN}\n{markdown}\n{END}{after}"))?;
    Ok(fs_err::write(PLOT, plot::svg(table.rows, table.session))?)
}

/// What stands before, between and after the marks.
fn parts(page: &str) -> Result<(&str, &str, &str)> {
    let (before, rest) = page
        .split_once(BEGIN)
        .with_context(|| format!("{PAGE} lacks the mark {BEGIN}"))?;
    let (between, after) = rest
        .split_once(END)
        .with_context(|| format!("{PAGE} lacks the mark {END}"))?;
    Ok((before, between, after))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kept::{self, Kept};
    use crate::row::row;
    use crate::session::session;

    fn markdown(rows: &[Row], session: &Session) -> String {
        let table = Table {
            corpus: "two recordings",
            rows,
            pieces: &["one", "two"],
            session,
            seed: 1,
        };
        table.markdown()
    }

    fn cells<'a>(table: &'a str, name: &str) -> Vec<&'a str> {
        let line = table
            .lines()
            .find(|line| line.starts_with(&format!("| {name} |")))
            .unwrap();
        line.trim_matches('|').split('|').map(str::trim).collect()
    }

    #[test]
    fn a_kept_row_is_compared_in_what_it_found_and_not_in_its_speed() {
        let (today, before) = (
            session("2026-11-30", "a CPU", 2),
            session("2026-11-28", "a CPU", 2),
        );
        let rows = [
            row("peaks", &[0.9, 0.9], today.clone()),
            row("basic-pitch", &[0.5, 0.6], today.clone()),
            row("transkun", &[0.7, 0.7], before),
        ];
        let text = markdown(&rows, &today);
        let found = "0.900 (0.88 - 0.92)";
        assert_eq!(
            cells(&text, "spectral peaks (baseline)"),
            [
                "spectral peaks (baseline)",
                "**0.900** (0.88 - 0.92)",
                "+0.200 (+0.200 to +0.200)",
                found,
                found,
                found,
                "0.900",
                "12.3"
            ]
        );
        assert_eq!(
            cells(&text, "basic-pitch")[2],
            "-0.150 (-0.200 to -0.100)",
            "{text}"
        );
        let kept = cells(&text, "transkun");
        assert_eq!((kept[2], kept[7]), ("the best", "(12.3)"));
        let measured: Vec<&str> = text
            .lines()
            .filter(|line| line.starts_with("Measured "))
            .collect();
        assert_eq!(
            measured,
            [
                "Measured 2026-11-30 (a CPU, 2 threads, build 0123456789): spectral peaks (baseline); basic-pitch.",
                "Measured 2026-11-28 (a CPU, 2 threads, build 0123456789): transkun. Another day or machine: speeds in brackets, not to be compared with the others."
            ]
        );
    }

    #[test]
    fn the_page_in_git_shows_the_rows_of_the_file_in_git() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let kept = Kept::read(&root.join(kept::FILE)).unwrap().unwrap();
        let page = fs_err::read_to_string(root.join(PAGE)).unwrap();
        let (_, table, _) = parts(&page).unwrap();
        let in_file: Vec<&str> = kept.rows.iter().map(|row| name(&row.label)).collect();
        assert_eq!(names(table), in_file);
        for row in &kept.rows {
            let shown = format!("| {} | **{:.3}** ", name(&row.label), row.onset.mean);
            assert!(table.contains(&shown), "{shown}");
        }
    }

    #[test]
    fn the_names_on_a_page_are_those_of_the_table_that_was_written() {
        let today = session("2026-11-30", "a CPU", 2);
        let rows = [
            row("peaks", &[0.1, 0.2], today.clone()),
            row("harmonica:small, bf16", &[0.8, 0.9], today.clone()),
        ];
        let text = markdown(&rows, &today);
        let page = format!("before {BEGIN}\n{text}\n{END} after | no row |");
        let (before, between, after) = parts(&page).unwrap();
        assert_eq!((before, after), ("before ", " after | no row |"));
        assert_eq!(
            names(between),
            ["spectral peaks (baseline)", "harmonica:small, bf16"]
        );
        assert!(parts("no marks").is_err());
    }
}
