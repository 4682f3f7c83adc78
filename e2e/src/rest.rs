//! The REST API as a client outside the cluster uses it: a forwarded port, a key, multipart uploads.

use std::process::Stdio;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, bail};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use reqwest::multipart::{Form, Part};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::release;
use crate::wait::{self, Seen};
use crate::world::World;

pub(crate) struct Rest {
    namespace: &'static str,
    service: String,
    key: String,
    http: reqwest::Client,
    /// The port that is forwarded now, and who forwards it: it ends whenever the pod behind it does.
    forward: Mutex<Option<(u16, Child)>>,
}

impl Rest {
    pub(crate) async fn connect(world: &World) -> anyhow::Result<Rest> {
        let secrets: Api<Secret> = Api::namespaced(world.client.clone(), world.namespace);
        let secret = secrets.get(&release::named("secrets")).await?;
        let key = secret
            .data
            .and_then(|mut data| data.remove("api-key"))
            .context("the release's Secret has no api-key")?;
        Ok(Rest {
            namespace: world.namespace,
            service: release::named("api"),
            key: String::from_utf8(key.0)?,
            http: reqwest::Client::builder()
                .timeout(Duration::from_secs(60))
                .build()?,
            forward: Mutex::new(None),
        })
    }

    /// Uploads a recording and gives the id of its transcription.
    pub(crate) async fn upload(&self, recording: &[u8]) -> anyhow::Result<String> {
        let part = Part::bytes(recording.to_vec()).file_name("melody.wav");
        let url = self.url("/api/v1/transcriptions").await?;
        let answer = self
            .http
            .post(url)
            .bearer_auth(&self.key)
            .multipart(Form::new().part("audio", part))
            .send()
            .await?;
        let status = answer.status();
        let body: Value = answer.json().await?;
        if status != 202 {
            bail!("the upload was answered with {status}: {body}");
        }
        Ok(body["id"]
            .as_str()
            .context("no id in the answer")?
            .to_owned())
    }

    /// The job object.
    pub(crate) async fn get(&self, id: &str) -> anyhow::Result<Value> {
        let url = self.url(&format!("/api/v1/transcriptions/{id}")).await?;
        let answer = self.http.get(url).bearer_auth(&self.key).send().await?;
        Ok(answer.error_for_status()?.json().await?)
    }

    pub(crate) async fn midi(&self, id: &str) -> anyhow::Result<Vec<u8>> {
        let url = self
            .url(&format!("/api/v1/transcriptions/{id}/files/midi"))
            .await?;
        let answer = self.http.get(url).bearer_auth(&self.key).send().await?;
        Ok(answer.error_for_status()?.bytes().await?.to_vec())
    }

    /// Fetches a signed address, which names the Service: the way there is the forwarded port, and no key is shown.
    pub(crate) async fn signed(&self, url: &str) -> anyhow::Result<Vec<u8>> {
        let parsed = reqwest::Url::parse(url).with_context(|| format!("not an address: {url}"))?;
        let mut there = reqwest::Url::parse(&self.url("/").await?)?;
        there.set_path(parsed.path());
        there.set_query(parsed.query());
        let answer = self.http.get(there).send().await?;
        Ok(answer.error_for_status()?.bytes().await?.to_vec())
    }

    /// Waits until it has succeeded; another end is an error.
    pub(crate) async fn succeeded(&self, id: &str, limit: Duration) -> anyhow::Result<Value> {
        wait::until(&format!("the notes of {id}"), limit, || async {
            let job = self.get(id).await?;
            let state = job["state"].as_str().unwrap_or_default().to_owned();
            Ok(match state.as_str() {
                "succeeded" => Seen::Yes(job),
                "failed" | "cancelled" | "expired" => Seen::Never(job.to_string()),
                _ => Seen::NotYet(state),
            })
        })
        .await
    }

    async fn url(&self, path: &str) -> anyhow::Result<String> {
        let living = {
            let mut forward = self
                .forward
                .lock()
                .map_err(|_| anyhow::anyhow!("a case panicked"))?;
            match forward.as_mut() {
                Some((port, child)) => child.try_wait()?.is_none().then_some(*port),
                None => None,
            }
        };
        let port = match living {
            Some(port) => port,
            None => self.forward().await?,
        };
        Ok(format!("http://127.0.0.1:{port}{path}"))
    }

    /// `kubectl port-forward`, as a person would; it says which port it took.
    async fn forward(&self) -> anyhow::Result<u16> {
        let service = format!("service/{}", self.service);
        let mut child = Command::new("kubectl")
            .args([
                "--namespace",
                self.namespace,
                "port-forward",
                service.as_str(),
                ":http",
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("cannot run kubectl")?;
        let out = child.stdout.take().context("kubectl has no output")?;
        let mut lines = BufReader::new(out).lines();
        let first = tokio::time::timeout(Duration::from_secs(20), lines.next_line())
            .await
            .context("kubectl port-forward says nothing")??
            .context("kubectl port-forward ended; is the API's pod ready?")?;
        // Forwarding from 127.0.0.1:40123 -> 8000
        let port = first
            .split("127.0.0.1:")
            .nth(1)
            .and_then(|rest| rest.split(' ').next())
            .and_then(|port| port.parse().ok())
            .with_context(|| format!("kubectl port-forward: {first}"))?;
        // It would stop when nobody reads what it says.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let mut forward = self
            .forward
            .lock()
            .map_err(|_| anyhow::anyhow!("a case panicked"))?;
        *forward = Some((port, child));
        Ok(port)
    }
}
