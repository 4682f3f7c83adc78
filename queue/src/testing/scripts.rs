//! The scripts as the server gets them, for tests that follow them on the wire.

use crate::script;

/// One transition.
#[derive(Clone, Debug)]
pub struct SentScript {
    /// Of its own file, without `.lua`.
    pub name: &'static str,
    /// As EVALSHA names it.
    pub hash: String,
    /// As SCRIPT LOAD sends it.
    pub text: String,
    /// Of all files that it is made of.
    pub files: Vec<&'static str>,
}

/// All of them.
pub fn sent_scripts() -> Vec<SentScript> {
    let sent = |transition: &&script::Transition| {
        let texts: Vec<&str> = transition.files.iter().map(|(_, text)| *text).collect();
        SentScript {
            name: transition.name,
            hash: transition.script.get_hash().to_owned(),
            text: texts.join("\n"),
            files: transition.files.iter().map(|(file, _)| *file).collect(),
        }
    };
    script::ALL.iter().map(sent).collect()
}
