//! The rows that outlive a run: a file beside the documents, so that a fresh clone has those of the slow networks too. What is read
//! is merged by rule: rows of the same recordings stay until they are counted again, and the page never loses one.

use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::row::{Row, name, sort};

/// In git, and written together with the page.
pub(crate) const FILE: &str = "docs/eval.json";

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// The recordings in words; with `clips` it tells whether rows are of the same ones.
    pub(crate) corpus: String,
    /// The recordings' names, in the order of each row's `clips`.
    pub(crate) clips: Vec<String>,
    pub(crate) rows: Vec<Row>,
}

impl Kept {
    pub(crate) fn new(corpus: String, clips: Vec<String>) -> Kept {
        Kept {
            corpus,
            clips,
            rows: Vec::new(),
        }
    }

    /// Takes over what an earlier run left, if it heard the same recordings.
    pub(crate) fn take_over(&mut self, earlier: &Kept) {
        if (&self.corpus, &self.clips) == (&earlier.corpus, &earlier.clips) {
            self.rows.clone_from(&earlier.rows);
        }
    }

    /// A row that was counted again stands in the place of the old one.
    pub(crate) fn put(&mut self, row: Row) {
        self.rows.retain(|old| old.label != row.label);
        self.rows.push(row);
        sort(&mut self.rows);
    }

    pub(crate) fn labels(&self) -> Vec<&str> {
        self.rows.iter().map(|row| row.label.as_str()).collect()
    }

    /// None where no run has left any. A file that cannot be read is an error: to go on without its rows would lose them.
    pub(crate) fn read(file: &Path) -> Result<Option<Kept>> {
        let bytes = match fs_err::read(file) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            bytes => bytes?,
        };
        let kept: Kept = serde_json::from_slice(&bytes).with_context(|| {
            format!(
                "{0} holds no rows that this version can read; restore it (git checkout {0}) or remove it",
                file.display()
            )
        })?;
        Ok(Some(kept))
    }

    pub(crate) fn write(&self, file: &Path) -> Result<()> {
        Ok(fs_err::write(file, self.json()?)?)
    }

    /// A line for each row, so that git shows which ones a run changed.
    fn json(&self) -> Result<String> {
        let rows: Vec<String> = self
            .rows
            .iter()
            .map(serde_json::to_string)
            .collect::<serde_json::Result<_>>()?;
        Ok(format!(
            "{{\n\"corpus\": {},\n\"clips\": {},\n\"rows\": [\n{}\n]\n}}\n",
            serde_json::to_string(&self.corpus)?,
            serde_json::to_string(&self.clips)?,
            rows.join(",\n")
        ))
    }
}

/// Whether the page keeps all its rows, asked before hours are spent. `shown`: the names on the page and in the file; `to_be`: the
/// labels of the rows that will be there.
pub(crate) fn check_none_lost(shown: &[String], to_be: &[&str]) -> Result<()> {
    let mut lost: Vec<&str> = shown
        .iter()
        .map(String::as_str)
        .filter(|shown| !to_be.iter().any(|label| name(label) == *shown))
        .collect();
    lost.sort_unstable();
    lost.dedup();
    ensure!(
        lost.is_empty(),
        "the documents would lose the rows of {}, which {FILE} does not hold for these recordings. Run all of them (make eval without \
         MODELS, --fonts and --pieces), leave --write-docs out (target/release/eval prints the table), or, if they are to go, take them \
         out of docs/models.md and {FILE} by hand",
        lost.join("; ")
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::row;
    use crate::session::session;

    fn kept(corpus: &str, rows: &[(&str, f64)]) -> Kept {
        let mut kept = Kept::new(corpus.to_owned(), vec!["one".into(), "two".into()]);
        for (label, f) in rows {
            kept.put(row(label, &[*f, *f], session("2026-11-30", "a CPU", 2)));
        }
        kept
    }

    #[test]
    fn rows_of_the_same_recordings_stay_until_they_are_counted_again() {
        let earlier = kept("a", &[("transkun", 0.5), ("peaks", 0.1)]);
        let mut now = kept("a", &[]);
        now.take_over(&earlier);
        now.put(row("peaks", &[0.2, 0.2], session("2026-12-01", "a CPU", 2)));
        assert_eq!(now.labels(), ["peaks", "transkun"]);
        assert_eq!(now.rows[0].onset.mean, 0.2);
        assert_eq!(now.rows[1].measured.date, "2026-11-30");
    }

    #[test]
    fn rows_of_other_recordings_are_not_taken_over() {
        let earlier = kept("a", &[("transkun", 0.5)]);
        let mut other_corpus = kept("b", &[]);
        other_corpus.take_over(&earlier);
        let mut other_clips = kept("a", &[]);
        other_clips.clips.pop();
        other_clips.take_over(&earlier);
        assert!(other_corpus.rows.is_empty() && other_clips.rows.is_empty());
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("eval.json");
        assert!(Kept::read(&file).unwrap().is_none());
        let kept = kept("a", &[("peaks", 1.0 / 3.0), ("transkun", 0.5)]);
        kept.write(&file).unwrap();
        let read = Kept::read(&file).unwrap().unwrap();
        assert_eq!(read.json().unwrap(), kept.json().unwrap());
        assert_eq!(read.rows[0].clips, [1.0 / 3.0, 1.0 / 3.0]);
        assert_eq!(kept.json().unwrap().lines().count(), 8);
        fs_err::write(&file, "{\"corpus\": \"a\", \"results\": []}").unwrap();
        assert!(Kept::read(&file).is_err(), "an unreadable file is not none");
    }

    #[test]
    fn a_page_that_would_lose_a_row_is_refused_by_its_name() {
        let shown = |names: &[&str]| -> Vec<String> {
            names.iter().map(|name| (*name).to_owned()).collect()
        };
        let baseline = "spectral peaks (baseline)";
        for (names, to_be, lost) in [
            (&[baseline, "transkun"][..], &["peaks", "transkun"][..], ""),
            (&[][..], &["peaks"][..], ""),
            (&[baseline][..], &["peaks", "new"][..], ""),
            (&[baseline, "transkun"][..], &["peaks"][..], "of transkun,"),
            (&["b", "a", "b"][..], &["peaks"][..], "of a; b,"),
        ] {
            let answer = check_none_lost(&shown(names), to_be);
            match answer {
                Ok(()) => assert_eq!(lost, "", "{names:?}"),
                Err(error) => {
                    let text = error.to_string();
                    assert!(!lost.is_empty() && text.contains(lost), "{text}");
                }
            }
        }
    }
}
