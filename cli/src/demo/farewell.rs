//! What the demo says at its end: lines that can be copied into a shell as they are.

use std::path::Path;

use super::place::Files;

/// Where the client looks when it is not told otherwise.
const USUAL: &str = "http://127.0.0.1:8000";

pub(super) fn next_steps(api_url: &str, files: &Files, stays: bool) -> String {
    let (wtt, wav) = (program(), quoted(&files.wav));
    let first = match stays {
        true => format!("The server runs at {api_url} until you press Ctrl-C."),
        false => format!("The server has been stopped; `{wtt} up` starts one that stays."),
    };
    // The next server will listen at the usual address.
    let address = if stays { api_url } else { USUAL };
    let server = match address {
        USUAL => String::new(),
        other => format!(" --server {other}"),
    };
    format!(
        "\n{first} What to try next:\n  \
         {wtt} transcribe {wav} -o again.mid        (needs no server)\n  \
         {wtt} submit YOUR.mp3 -o YOUR.mid{server}\n  \
         {wtt} list{server}\n  \
         curl -F audio=@{wav} {address}/api/v1/transcriptions"
    )
}

/// The command as it was typed, so that the lines can be copied.
pub(super) fn program() -> String {
    std::env::args().next().unwrap_or_else(|| "wtt".to_owned())
}

/// Fit for a shell.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = text
        .chars()
        .all(|char| char.is_alphanumeric() || "/._-+,".contains(char));
    if is_plain {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_quoted_for_a_shell_where_they_must_be() {
        assert_eq!(
            quoted(Path::new("/tmp/wtt-demo-aB1/minuet.wav")),
            "/tmp/wtt-demo-aB1/minuet.wav"
        );
        assert_eq!(
            quoted(Path::new("it's here/a.wav")),
            r"'it'\''s here/a.wav'"
        );
    }
}
