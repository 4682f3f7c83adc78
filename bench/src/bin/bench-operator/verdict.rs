//! What came out, beside what was promised: a table, and whether a promise about correctness was broken.

#![expect(
    clippy::print_stdout,
    reason = "the output of a benchmark is its purpose"
)]

const HEAD: [&str; 5] = ["what", "seen", "aim", "", "counted"];

/// One line of the result.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    what: String,
    counted: String,
    seen: String,
    aim: String,
    kept: bool,
    /// A broken one makes the run fail.
    binding: bool,
}

impl Finding {
    fn cells(&self) -> [String; 5] {
        let word = match (self.aim.is_empty(), self.kept, self.binding) {
            (true, ..) => "",
            (_, true, _) => "kept",
            (_, false, true) => "BROKEN",
            (_, false, false) => "MISSED",
        };
        [
            self.what.as_str(),
            &self.seen,
            &self.aim,
            word,
            &self.counted,
        ]
        .map(str::to_owned)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Verdict {
    findings: Vec<Finding>,
}

impl Verdict {
    /// A figure with an aim: to miss it is told.
    pub(crate) fn aim(&mut self, what: &str, counted: String, seen: String, aim: &str, kept: bool) {
        self.add(what, counted, seen, aim, kept, false);
    }

    /// What must hold: to break it fails the run.
    pub(crate) fn must(
        &mut self,
        what: &str,
        counted: String,
        seen: String,
        aim: &str,
        kept: bool,
    ) {
        self.add(what, counted, seen, aim, kept, true);
    }

    /// A figure without an aim.
    pub(crate) fn tell(&mut self, what: &str, counted: String, seen: String) {
        self.add(what, counted, seen, "", true, false);
    }

    fn add(
        &mut self,
        what: &str,
        counted: String,
        seen: String,
        aim: &str,
        kept: bool,
        binding: bool,
    ) {
        self.findings.push(Finding {
            what: what.to_owned(),
            counted,
            seen,
            aim: aim.to_owned(),
            kept,
            binding,
        });
    }

    /// Texts side by side, the longest column last.
    pub(crate) fn print(&self) {
        let mut rows = vec![HEAD.map(str::to_owned)];
        rows.extend(self.findings.iter().map(Finding::cells));
        let width = |column: usize| {
            let widths = rows.iter().map(|row| row[column].chars().count());
            widths.max().unwrap_or_default()
        };
        let widths: [usize; 5] = std::array::from_fn(width);
        for row in &rows {
            let cells = row.iter().zip(widths);
            let line: Vec<String> = cells
                .map(|(text, width)| format!("{text:<width$}"))
                .collect();
            println!("  {}", line.join("  ").trim_end());
        }
    }

    /// Promises about correctness that do not hold.
    pub(crate) fn broken(&self) -> Vec<&str> {
        self.findings
            .iter()
            .filter(|finding| finding.binding && !finding.kept)
            .map(|finding| finding.what.as_str())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missed_aim_is_told_and_a_broken_promise_fails() {
        let mut verdict = Verdict::default();
        let text = || "1".to_owned();
        verdict.aim("speed", text(), text(), "2", false);
        verdict.must("writes", text(), text(), "0", true);
        assert!(verdict.broken().is_empty());
        verdict.must("busy workers killed", text(), text(), "0", false);
        assert_eq!(verdict.broken(), ["busy workers killed"]);
    }
}
