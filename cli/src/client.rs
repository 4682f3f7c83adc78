//! The HTTP client: one method per route of the service that the command line uses. It turns answers into values and
//! refusals into `Failure`s; it prints nothing and follows nothing.

mod upload;

use std::time::Duration;

use anyhow::Context;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::Value;
use url::Url;

use crate::args::Server;
use crate::failure::{Failure, Problem};
use crate::job::State;

pub(crate) use upload::Upload;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// For the requests that carry little; uploads and event streams take as long as they take.
const SMALL_TIMEOUT: Duration = Duration::from_secs(60);
/// The most that one page of a list may ask for.
const PAGE: usize = 100;

#[derive(Clone, Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: Url,
    key: Option<String>,
}

impl Client {
    pub(crate) fn new(server: &Server) -> anyhow::Result<Client> {
        let base = server.server.clone();
        if base.cannot_be_a_base() || !matches!(base.scheme(), "http" | "https") {
            let words = format!("{base} is not an http:// or https:// address");
            return Err(Failure::Usage(words).into());
        }
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("wtt/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_keepalive(Duration::from_secs(30));
        if is_loopback(&base) {
            // A proxy of the environment is for the world outside; it would look for the server on its own machine.
            builder = builder.no_proxy();
        }
        let http = builder
            .build()
            .context("failed to set up the HTTP client")?;
        Ok(Client {
            http,
            base,
            key: key(server)?,
        })
    }

    pub(crate) fn server(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// The transcription as the server wrote it, for `--json`; `Job` reads it.
    pub(crate) async fn transcription(&self, id: &str) -> anyhow::Result<Value> {
        json(self.send(self.small(Method::GET, &[id])?).await?).await
    }

    /// `cancel` or `retry`; the answer is the transcription as it is then.
    pub(crate) async fn act(&self, id: &str, action: &str) -> anyhow::Result<Value> {
        json(self.send(self.small(Method::POST, &[id, action])?).await?).await
    }

    pub(crate) async fn delete(&self, id: &str) -> anyhow::Result<()> {
        self.send(self.small(Method::DELETE, &[id])?).await?;
        Ok(())
    }

    /// The newest `limit` transcriptions, page by page.
    pub(crate) async fn list(
        &self,
        state: Option<State>,
        limit: usize,
    ) -> anyhow::Result<Vec<Value>> {
        let mut all = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let wanted = limit - all.len();
            let mut url = self.route(&[])?;
            url.query_pairs_mut()
                .append_pair("limit", &wanted.min(PAGE).to_string());
            if let Some(state) = state {
                url.query_pairs_mut().append_pair("state", state.as_str());
            }
            if let Some(cursor) = &cursor {
                url.query_pairs_mut().append_pair("cursor", cursor);
            }
            let request = self.request(Method::GET, url).timeout(SMALL_TIMEOUT);
            let mut page = json(self.send(request).await?).await?;
            let Some(Value::Array(items)) = page.get_mut("data").map(Value::take) else {
                return Err(self.not_ours(StatusCode::OK).into());
            };
            // A page may be empty and still not be the last: the server looks only so far for a state.
            all.extend(items.into_iter().take(wanted));
            cursor = page
                .get("next_cursor")
                .and_then(Value::as_str)
                .map(str::to_owned);
            if cursor.is_none() || all.len() >= limit {
                return Ok(all);
            }
        }
    }

    /// One of the result files, whole: `midi`, `notes.json`, `notes.csv`. They are small.
    pub(crate) async fn file(&self, id: &str, kind: &str) -> anyhow::Result<Vec<u8>> {
        let answer = self
            .send(self.small(Method::GET, &[id, "files", kind])?)
            .await?;
        let bytes = answer
            .bytes()
            .await
            .with_context(|| format!("the connection broke while {kind} came in"))?;
        Ok(bytes.into())
    }

    /// The event stream, from after `last_event_id` on; `None` when there is nothing more to tell.
    pub(crate) async fn events(
        &self,
        id: &str,
        last_event_id: Option<&str>,
    ) -> anyhow::Result<Option<Response>> {
        let mut request = self
            .request(Method::GET, self.route(&[id, "events"])?)
            .header("accept", "text/event-stream");
        if let Some(last) = last_event_id {
            request = request.header("last-event-id", last);
        }
        let answer = self.send(request).await?;
        Ok((answer.status() != StatusCode::NO_CONTENT).then_some(answer))
    }

    fn small(&self, method: Method, path: &[&str]) -> anyhow::Result<RequestBuilder> {
        Ok(self
            .request(method, self.route(path)?)
            .timeout(SMALL_TIMEOUT))
    }

    fn request(&self, method: Method, url: Url) -> RequestBuilder {
        let request = self.http.request(method, url);
        match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    }

    /// An address below `/api/v1/transcriptions`; the parts of the path are escaped.
    fn route(&self, path: &[&str]) -> anyhow::Result<Url> {
        if path.iter().any(|part| matches!(*part, "" | "." | "..")) {
            return Err(Failure::Usage("an id cannot be empty or a dot".into()).into());
        }
        let mut url = self.base.clone();
        if let Ok(mut parts) = url.path_segments_mut() {
            parts
                .pop_if_empty()
                .extend(["api", "v1", "transcriptions"])
                .extend(path);
        }
        Ok(url)
    }

    /// Sends and sorts the answer: success as it is, anything else as a failure in words.
    async fn send(&self, request: RequestBuilder) -> anyhow::Result<Response> {
        let answer = request
            .send()
            .await
            .map_err(|error| self.unreachable(&error))?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        Err(self.refusal(answer).await.into())
    }

    async fn refusal(&self, answer: Response) -> Failure {
        let status = answer.status();
        let retry_after = answer
            .headers()
            .get("retry-after")
            .and_then(|value| value.to_str().ok()?.parse().ok());
        let body = answer.bytes().await.unwrap_or_default();
        match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) if problem.title.is_some() || problem.code.is_some() => {
                Failure::Problem(Problem {
                    status: Some(status.as_u16()),
                    retry_after_seconds: retry_after,
                    ..problem
                })
            }
            _ => self.not_ours(status),
        }
    }

    fn not_ours(&self, status: StatusCode) -> Failure {
        Failure::NotOurs {
            server: self.server().to_owned(),
            status: status.as_u16(),
        }
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        Failure::Unreachable {
            server: self.server().to_owned(),
            reason: root_cause(error),
        }
    }
}

async fn json(answer: Response) -> anyhow::Result<Value> {
    answer
        .json()
        .await
        .context("the server's answer is not the JSON it should be")
}

/// The innermost cause says it best ("connection refused"); the layers above only say that sending failed.
fn root_cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "it did not answer in time".to_owned();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    let words = cause.to_string();
    words
        .split(" (os error")
        .next()
        .unwrap_or(&words)
        .to_lowercase()
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn key(server: &Server) -> anyhow::Result<Option<String>> {
    let given = server.api_key.clone().filter(|key| !key.is_empty());
    let (None, Some(path)) = (&given, &server.api_key_file) else {
        return Ok(given);
    };
    let text = fs_err::read_to_string(path).context("failed to read the API key")?;
    // The server's own file may hold several; any of them will do.
    Ok(text
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(base: &str) -> anyhow::Result<Client> {
        Client::new(&Server {
            server: base.parse().unwrap(),
            api_key: None,
            api_key_file: None,
        })
    }

    #[test]
    fn an_id_cannot_lead_to_another_route() {
        let client = client("http://h/music/").unwrap();
        let url = client.route(&["../../x?y", "cancel"]).unwrap();
        assert_eq!(
            url.as_str(),
            "http://h/music/api/v1/transcriptions/..%2F..%2Fx%3Fy/cancel"
        );
        assert!(client.route(&[".."]).is_err());
        assert!(client.route(&[""]).is_err());
    }

    #[test]
    fn only_http_addresses_are_servers() {
        assert!(client("ftp://h/").is_err());
        assert!(client("mailto:x").is_err());
    }

    #[test]
    fn loopback_is_recognized() {
        let loopback = |url: &str| is_loopback(&url.parse().unwrap());
        assert!(
            loopback("http://127.0.0.1:8000")
                && loopback("http://[::1]")
                && loopback("http://localhost:1")
        );
        assert!(!loopback("http://192.168.0.1") && !loopback("http://localhost.example.org"));
    }
}
