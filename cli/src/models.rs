//! `wtt models`: which networks there are, and bringing their weights here.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use transcription::registry::{Brought, PullSource, Store};

use crate::failure::Failure;
use crate::ui;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Weights are not part of the program: each has its own licence, and is verified by digest when it is loaded."
)]
pub(crate) struct Args {
    /// Folder that holds the models [default: whatsthetab/models in the user's cache]
    #[arg(long, env = "WTT_MODELS_DIR", value_name = "DIR", global = true)]
    models_dir: Option<PathBuf>,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Show the networks, their licences and whether they are installed
    List {
        /// One JSON array instead of a table
        #[arg(long, env = "WTT_JSON")]
        json: bool,
    },
    /// Fetch a network's published weights, convert them once and verify them
    Pull {
        /// Name of the model, as `wtt models list` shows it; `harmonica` alone brings all of its sizes
        name: String,
        /// A wheel or its file of weights (.onnx, .pt), or an https address of one, instead of the package index
        #[arg(long, env = "WTT_MODELS_FROM", value_name = "FILE|URL")]
        from: Option<String>,
        /// SHA-256 that the file must have; needed for a URL
        #[arg(long, env = "WTT_MODELS_SHA256", value_name = "HEX")]
        sha256: Option<String>,
        /// For mt3, with --from FILE: its sizes, where it is not the published network; a JSON object, or one that holds it under `config`
        #[arg(long, env = "WTT_CONFIG", value_name = "FILE", requires = "from")]
        config: Option<PathBuf>,
        /// For mt3, with --from FILE: whose inference it follows, magenta or seed
        #[arg(long, env = "WTT_PROFILE", requires = "from")]
        profile: Option<transcription::mt3::Profile>,
        /// Fetch and convert again, even where the model is installed and whole
        #[arg(long, env = "WTT_FORCE")]
        force: bool,
    },
}

pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let store = Store::new(args.models_dir.unwrap_or_else(Store::default_dir));
    match args.command {
        Command::List { json } => list(&store, json),
        Command::Pull {
            name,
            from,
            sha256,
            config,
            profile,
            force,
        } => match from {
            Some(file) if name == transcription::mt3::NAME => {
                install_mt3(&store, file.into(), sha256.as_deref(), config, profile)
            }
            _ if config.is_some() || profile.is_some() => {
                Err(Failure::Usage("--config and --profile are for mt3".into()).into())
            }
            from => pull(&store, &name, from.as_deref(), sha256, force),
        },
    }
}

fn list(store: &Store, json: bool) -> anyhow::Result<ExitCode> {
    let models = store.list();
    if json {
        ui::line(serde_json::to_string_pretty(&models)?);
        return Ok(ExitCode::SUCCESS);
    }
    for model in models {
        let state = if model.installed {
            "installed"
        } else {
            "not installed"
        };
        ui::line(format!(
            "{:<18} {state:<14} {}\n{:>18} {}; {}",
            model.name, model.description, "", model.licence, model.digest
        ));
        if model.installed {
            ui::line(format!("{:>18} {}", "", model.path.display()));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The weights are their user's own file: converted once, whatever network of the kind they are.
fn install_mt3(
    store: &Store,
    file: PathBuf,
    sha256: Option<&str>,
    config: Option<PathBuf>,
    profile: Option<transcription::mt3::Profile>,
) -> anyhow::Result<ExitCode> {
    if file.to_string_lossy().contains("://") {
        return Err(
            Failure::Usage("mt3 is installed from a FILE; download it first".into()).into(),
        );
    }
    if sha256.is_some() {
        return Err(Failure::Usage(
            "--sha256 is for what is fetched; check your own file with sha256sum".into(),
        )
        .into());
    }
    store.install_mt3(&Brought {
        file,
        config: config.map(fs_err::read_to_string).transpose()?,
        profile,
    })?;
    ui::note(format!(
        "installed mt3 in {} ({})",
        store.folder().display(),
        Store::licence(transcription::mt3::NAME)?
    ));
    Ok(ExitCode::SUCCESS)
}

fn pull(
    store: &Store,
    name: &str,
    from: Option<&str>,
    sha256: Option<String>,
    force: bool,
) -> anyhow::Result<ExitCode> {
    let downloaded; // Kept until the conversion is done: it removes itself.
    let source = match from {
        None => PullSource::Pip,
        Some(url) if url.starts_with("https://") || url.starts_with("http://") => {
            if sha256.is_none() {
                return Err(Failure::Usage(
                    "--from URL needs --sha256, so that you get what you meant".into(),
                )
                .into());
            }
            downloaded = download(url)?;
            PullSource::File {
                path: downloaded.path().to_owned(),
                sha256,
            }
        }
        Some(path) => PullSource::File {
            path: path.into(),
            sha256,
        },
    };
    let pulled = store.pull(name, &source, force)?;
    if pulled.is_empty() {
        ui::note(format!(
            "{name} is there already, and whole; --force fetches it again"
        ));
    } else {
        ui::note(format!(
            "{} installed in {}",
            pulled.join(", "),
            store.folder().display()
        ));
    }
    ui::note(format!("licence of the weights: {}", Store::licence(name)?));
    Ok(ExitCode::SUCCESS)
}

fn download(url: &str) -> anyhow::Result<tempfile::NamedTempFile> {
    tokio::runtime::Runtime::new()?.block_on(async {
        let mut response = reqwest::get(url)
            .await
            .and_then(reqwest::Response::error_for_status)
            .with_context(|| format!("cannot fetch {url}"))?;
        let mut file = tempfile::NamedTempFile::new()?;
        while let Some(chunk) = response
            .chunk()
            .await
            .with_context(|| format!("the download of {url} broke off"))?
        {
            file.write_all(&chunk)?;
        }
        Ok(file)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    /// Two crates that cannot see each other check the same options; what the one lets in the other must be able to run.
    #[test]
    fn the_service_and_the_networks_take_the_same_options() {
        let numbers = [
            -1.0, 0.0, 0.5, 1.0, 3.9, 4.0, 1000.0, 1000.5, 10_000.0, 10_001.0, 20_000.0, 20_001.0,
        ];
        let mut cases = vec![
            json!({}),
            json!({"speed": 1}),
            json!({"minimum_frequency": 80, "maximum_frequency": 80}),
        ];
        for name in [
            "onset_threshold",
            "frame_threshold",
            "minimum_note_length",
            "minimum_frequency",
            "maximum_frequency",
            "midi_tempo",
        ] {
            cases.extend(numbers.map(|number| json!({name: number})));
            cases.push(json!({name: "1"}));
        }
        for name in ["melodia", "inferred_onsets", "multiple_pitch_bends"] {
            cases.extend([json!({name: true}), json!({name: 1})]);
        }
        let models = [transcription::MODELS, &["harmonica"]].concat();
        let catalogue = api::models::Models::parse(&transcription::MODELS.join(",")).unwrap();
        for model in models {
            for case in &cases {
                let options = case.as_object().unwrap();
                let offered = catalogue.require(model).ok().unwrap();
                let service = offered.check_options(options).is_ok();
                let network = transcription::registry::parse_options(model, options).is_ok();
                assert_eq!(
                    service, network,
                    "{model}, {case}: the service says {service}, the network {network}"
                );
            }
        }
    }
}
