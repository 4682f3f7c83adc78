//! Which of the networks that nobody is made to fetch a test tries. With `WTT_REQUIRE_MODELS=1` none may be missing, so that a run
//! that is to be complete cannot leave one out and pass. It knows names; where networks lie, its caller knows.

use std::io::Write;

/// Those of `models` that are here, in their order; says which are left out.
pub(crate) fn installed(
    models: &[&'static str],
    is_here: impl Fn(&str) -> bool,
) -> Vec<&'static str> {
    let mut here = Vec::new();
    let mut missing = Vec::new();
    for &model in models {
        if is_here(model) {
            here.push(model);
        } else {
            missing.push(model);
        }
    }
    let required = std::env::var_os("WTT_REQUIRE_MODELS").is_some_and(|value| value == "1");
    assert!(
        missing.is_empty() || !required,
        "WTT_REQUIRE_MODELS=1, and these networks are not installed: {missing:?} (wtt models pull NAME)"
    );
    for model in missing {
        // Not by a macro: what those print is kept from whoever reads a run that passes.
        let _ = writeln!(
            std::io::stderr(),
            "{model} is not installed here, and left out"
        );
    }
    here
}
