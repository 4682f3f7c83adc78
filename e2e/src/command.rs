//! Programs that people run: helm, kubectl, wtt. Knows how to run them and how to say what went wrong.

use std::ffi::OsStr;
use std::process::Stdio;

use anyhow::{Context, bail};
use tokio::process::Command;

/// Runs it and gives what it printed; its error output is part of the error.
pub(crate) async fn run<S: AsRef<OsStr>>(program: &str, arguments: &[S]) -> anyhow::Result<String> {
    let (status, out, err) = try_run(program, arguments, None).await?;
    if !status {
        bail!("{}: {}", line(program, arguments), err.trim());
    }
    Ok(out)
}

/// The same with something on its standard input.
pub(crate) async fn run_with<S: AsRef<OsStr>>(
    program: &str,
    arguments: &[S],
    input: &str,
) -> anyhow::Result<String> {
    let (status, out, err) = try_run(program, arguments, Some(input)).await?;
    if !status {
        bail!("{}: {}", line(program, arguments), err.trim());
    }
    Ok(out)
}

/// Runs what is expected to be refused, and gives the refusal.
pub(crate) async fn refusal<S: AsRef<OsStr>>(
    program: &str,
    arguments: &[S],
    input: &str,
) -> anyhow::Result<String> {
    let (status, out, err) = try_run(program, arguments, Some(input)).await?;
    if status {
        bail!("{} was not refused: {out}", line(program, arguments));
    }
    Ok(err)
}

async fn try_run<S: AsRef<OsStr>>(
    program: &str,
    arguments: &[S],
    input: Option<&str>,
) -> anyhow::Result<(bool, String, String)> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(if input.is_some() {
            Stdio::piped()
        } else {
            Stdio::null()
        })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot run {program}; is it on PATH?"))?;
    if let (Some(input), Some(mut stdin)) = (input, child.stdin.take()) {
        use tokio::io::AsyncWriteExt;
        stdin.write_all(input.as_bytes()).await?;
    }
    let output = child.wait_with_output().await?;
    Ok((
        output.status.success(),
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    ))
}

fn line<S: AsRef<OsStr>>(program: &str, arguments: &[S]) -> String {
    let mut words = vec![program.to_owned()];
    words.extend(
        arguments
            .iter()
            .map(|word| word.as_ref().to_string_lossy().into_owned()),
    );
    words.join(" ")
}
