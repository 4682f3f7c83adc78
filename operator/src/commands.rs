//! What each subcommand does. Standard output is for what was asked for.

#![expect(
    clippy::print_stdout,
    reason = "what was asked for goes to standard output"
)]
#![expect(
    clippy::print_stderr,
    reason = "before logs are set up there is nothing else"
)]

use std::io::Read;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use operator::args::RunArgs;
use operator::scale;
use operator::telemetry;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Written by `make manifests`, and held to the code by a test.
const DEFINITIONS: [&str; 2] = [
    include_str!("../../manifests/crds/transcriptionjobs.whatsthetab.dev.yaml"),
    include_str!("../../manifests/crds/workerpools.whatsthetab.dev.yaml"),
];

pub(crate) fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("wtt-operator: {error:#}");
    ExitCode::FAILURE
}

pub(crate) fn run(args: RunArgs) -> anyhow::Result<ExitCode> {
    telemetry::log(args.log_plain);
    let settings = args.settings()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let ended = runtime.block_on(async {
        let config = kube::Config::infer()
            .await
            .context("no cluster: neither a service account nor a kubeconfig")?;
        let stop = CancellationToken::new();
        tokio::spawn(end_on_signal(stop.clone())?);
        operator::run(settings, config, stop).await
    });
    // Whatever is left has nothing to say any more.
    runtime.shutdown_background();
    match ended {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => {
            tracing::error!("{error:#}");
            Ok(ExitCode::FAILURE)
        }
    }
}

fn end_on_signal(stop: CancellationToken) -> anyhow::Result<impl Future<Output = ()>> {
    let mut term = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("ending");
        stop.cancel();
    })
}

pub(crate) fn crd() -> anyhow::Result<ExitCode> {
    for definition in DEFINITIONS {
        println!("---\n{}", definition.trim_start_matches("---").trim());
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn explain(file: &Path) -> anyhow::Result<ExitCode> {
    let mut text = String::new();
    if file == Path::new("-") {
        std::io::stdin()
            .read_to_string(&mut text)
            .context("cannot read standard input")?;
    } else {
        text = std::fs::read_to_string(file)
            .with_context(|| format!("cannot read {}", file.display()))?;
    }
    let (text, same) = scale::explain(&text)?;
    print!("{text}");
    Ok(if same {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
