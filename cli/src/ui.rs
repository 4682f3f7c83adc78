//! The only place that writes to the terminal: results to standard output, everything said about the work to standard
//! error. It must not know what the lines mean.

use std::io::{IsTerminal, Write};

/// A line of the answer, on standard output.
///
/// `println!` would panic when the reader has gone (`wtt list | head -1`); having printed enough is no failure, so that
/// ends the process quietly instead.
pub(crate) fn line(text: impl AsRef<str>) {
    let mut out = std::io::stdout().lock();
    let written = writeln!(out, "{}", text.as_ref()).and_then(|()| out.flush());
    if written.is_err() {
        std::process::exit(0);
    }
}

/// Bytes of the answer, on standard output, for `-o -`.
pub(crate) fn raw(bytes: &[u8]) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}

/// A line about the work, on standard error. A closed standard error is nobody's problem.
pub(crate) fn note(text: impl AsRef<str>) {
    let _ = writeln!(std::io::stderr().lock(), "{}", text.as_ref());
}

/// Somebody sits in front of it: bars may be drawn on standard error.
pub(crate) fn can_draw() -> bool {
    std::io::stderr().is_terminal()
}

/// Somebody sits in front of it and can press Ctrl-C.
pub(crate) fn is_interactive() -> bool {
    std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
}

/// How wide the terminal is, where standard output is one.
pub(crate) fn columns() -> Option<usize> {
    let (_rows, columns) = console::Term::stdout().size_checked()?;
    Some(usize::from(columns))
}
