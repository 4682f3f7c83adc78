//! What every file of the project looks like. Small checks with a sentence each, so that a review need not make them.

use std::fs;
use std::path::Path;

/// A file of the work tree: its path from the root, and its text.
struct Source {
    path: String,
    text: String,
}

/// Every text file that belongs to the project. Hidden folders, but for `.ci` and `.cargo`, and what is built or linked in are none of it.
fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    collect(&house::root(), &house::root(), &mut found);
    assert!(
        found.len() > 40,
        "only {} files found: is the work tree where it should be?",
        found.len()
    );
    found
}

fn collect(root: &Path, folder: &Path, found: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).expect("a folder of the work tree can be read") {
        let entry = entry.expect("its entries too");
        let name = entry.file_name().to_string_lossy().into_owned();
        let kind = entry.file_type().expect("an entry has a type");
        let foreign = name == "target"
            || name == "__pycache__"
            || (name.starts_with('.') && ![".ci", ".cargo", ".gitignore"].contains(&&*name));
        if foreign || kind.is_symlink() {
            continue;
        }
        if kind.is_dir() {
            collect(root, &entry.path(), found);
        } else if let Ok(text) = fs::read_to_string(entry.path()) {
            // What is not UTF-8 is a recording or a picture.
            let path = entry
                .path()
                .strip_prefix(root)
                .expect("it lies below the root")
                .to_string_lossy()
                .into_owned();
            found.push(Source { path, text });
        }
    }
}

impl Source {
    fn ends_with(&self, ending: &str) -> bool {
        self.path.ends_with(ending)
    }

    fn is_code(&self) -> bool {
        [
            ".rs", ".lua", ".sh", ".py", ".toml", ".sql", "Makefile", ".ci/run",
        ]
        .iter()
        .any(|ending| self.ends_with(ending))
    }

    /// This very file names what it forbids.
    fn is_this(&self) -> bool {
        self.ends_with("house/tests/tidy.rs")
    }

    /// `path:line: text` of every line for which `wrong` holds.
    fn lines(&self, wrong: impl Fn(&str) -> bool) -> Vec<String> {
        let numbered = self
            .text
            .lines()
            .enumerate()
            .filter(|(_, line)| wrong(line));
        numbered
            .map(|(index, line)| format!("{}:{}: {}", self.path, index + 1, line.trim()))
            .collect()
    }
}

fn none(wrong: &[String], rule: &str) {
    assert!(wrong.is_empty(), "{rule}\n{}", wrong.join("\n"));
}

#[test]
fn every_file_opens_with_what_it_is_for() {
    let opening: [(&str, &[&str]); 5] = [
        (".rs", &["//! "]),
        (".lua", &["-- ", "--!df "]),
        (".sh", &["# ", "#!"]),
        (".py", &["\"\"\"", "#!"]),
        (".sql", &["-- "]),
    ];
    let mut wrong = Vec::new();
    for source in sources() {
        for (ending, openings) in opening {
            let headed = openings.iter().any(|head| source.text.starts_with(head));
            if source.ends_with(ending) && !headed {
                wrong.push(source.path.clone());
            }
        }
    }
    none(
        &wrong,
        "a file opens with a comment that says what it is for and what it must not know:",
    );
}

#[test]
fn no_file_names_a_place_on_somebodys_machine() {
    let places = ["/root/", "/home/", "/Users/", "/work/main", "/work/shared"];
    let wrong: Vec<String> = sources()
        .iter()
        .filter(|source| !source.is_this())
        .flat_map(|source| source.lines(|line| places.iter().any(|place| line.contains(place))))
        .collect();
    none(&wrong, "a path that exists on one machine only:");
}

/// A test that takes minutes and has a command of its own says which one runs it; any other is run by `make test`.
fn has_its_own_command(line: &str) -> bool {
    line.trim_start()
        .strip_prefix("#[ignore = \"takes minutes: make ")
        .and_then(|rest| rest.split(['"', ' ']).next())
        .is_some_and(|target| targets().contains(&format!("\n{target}: ")))
}

/// The Makefile, whose lines begin with the targets.
fn targets() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../Makefile"))
        .expect("there is a Makefile")
}

#[test]
fn nothing_unfinished_stays() {
    let marks = [
        "todo!(",
        "unimplemented!(",
        "dbg!(",
        "#[ignore",
        "#[should_panic",
        "FIXME",
    ];
    let wrong: Vec<String> = sources()
        .iter()
        .filter(|source| source.ends_with(".rs") && !source.is_this())
        .flat_map(|source| {
            source.lines(|line| {
                marks.iter().any(|mark| line.contains(mark)) && !has_its_own_command(line)
            })
        })
        .collect();
    none(&wrong, "unfinished, or a test that no command runs:");
}

/// Helpers that several test binaries share are not all used by each, so there an expectation would not hold.
fn shared_helpers_may(path: &str, line: &str) -> bool {
    path.contains("/tests/") && line.contains("allow(dead_code, reason = ")
}

#[test]
fn lints_are_expected_with_a_reason_not_allowed() {
    let wrong: Vec<String> = sources()
        .iter()
        .filter(|source| source.ends_with(".rs") && !source.is_this())
        .flat_map(|source| {
            source.lines(|line| {
                let allows = ["#[allow(", "#![allow("]
                    .iter()
                    .any(|start| line.trim_start().starts_with(start));
                allows && !shared_helpers_may(&source.path, line)
            })
        })
        .collect();
    none(
        &wrong,
        "write `#[expect(lint, reason = \"..\")]`, which fails when the reason is gone:",
    );
}

#[test]
fn lines_end_where_their_text_ends() {
    let wrong: Vec<String> = sources()
        .iter()
        .filter(|source| source.is_code())
        .flat_map(|source| source.lines(|line| line.ends_with([' ', '\t', '\r'])))
        .collect();
    none(&wrong, "space at the end of a line:");
}

/// Large files stop being about one thing. Past this, find the seam.
#[test]
fn files_stay_readable() {
    let limit = 600;
    let wrong: Vec<String> = sources()
        .iter()
        .filter(|source| {
            [".rs", ".lua", ".py", ".sh"]
                .iter()
                .any(|ending| source.ends_with(ending))
        })
        .filter(|source| source.text.lines().count() > limit)
        .map(|source| format!("{}: {} lines", source.path, source.text.lines().count()))
        .collect();
    none(&wrong, "longer than 600 lines:");
}
