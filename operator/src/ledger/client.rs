//! Calls to the API, each within a bound, and what their failures mean: refused for good, gone, or to be tried again.

use std::time::Duration;

use metrics::counter;
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{Cancel, Item, Page, Problem, Request};
use crate::telemetry::names;

/// The API answers a PUT within a second; the rest is for bad days.
const BOUND: Duration = Duration::from_secs(10);
/// A page of changes is small.
const MOST_BYTES: usize = 16 * 1024 * 1024;

/// How to reach the API.
#[derive(Clone, Debug)]
pub struct Settings {
    pub url: String,
    pub key: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// It will say the same tomorrow.
    #[error("the API refuses it: {}: {}", .0.code, .0.message)]
    Refused(Problem),
    /// It never was there, or was deleted.
    #[error("the API does not have it")]
    Gone,
    #[error(
        "the API does not accept the operator's key ({0}); check the Secret that WTT_API_KEY comes from"
    )]
    Key(StatusCode),
    #[error("the API cannot do it at present: {0}")]
    Later(String),
    #[error("the API cannot be reached: {0}")]
    Unreachable(#[from] reqwest::Error),
    #[error("the API's answer cannot be read: {0}")]
    Unreadable(#[from] serde_json::Error),
}

#[derive(Clone, Debug)]
pub struct Ledger {
    client: Client,
    base: String,
    key: Option<String>,
}

impl Ledger {
    pub fn new(settings: &Settings) -> Result<Self, LedgerError> {
        Ok(Ledger {
            client: Client::builder()
                .timeout(BOUND)
                .connect_timeout(Duration::from_secs(3))
                .build()?,
            base: settings.url.trim_end_matches('/').to_owned(),
            key: settings.key.clone(),
        })
    }

    /// Asks for a transcription; asking again changes nothing and tells what became of it.
    pub async fn put(&self, uid: &str, request: &Request) -> Result<Item, LedgerError> {
        let call = self.call(Method::PUT, &format!("/{uid}")).json(request);
        self.ask("put", call).await
    }

    pub async fn get(&self, uid: &str) -> Result<Item, LedgerError> {
        self.ask("get", self.call(Method::GET, &format!("/{uid}")))
            .await
    }

    /// What changed after `after`. `limit` 0 gives no items, but where the end is.
    pub async fn changes(
        &self,
        origin: &str,
        after: u64,
        limit: usize,
        active: bool,
    ) -> Result<Page, LedgerError> {
        let mut query = vec![
            ("origin", origin.to_owned()),
            ("after", after.to_string()),
            ("limit", limit.to_string()),
        ];
        if active {
            query.push(("active", "true".to_owned()));
        }
        let call = self.call(Method::GET, &format!("?{}", encode(&query)));
        self.ask("changes", call).await
    }

    pub async fn cancel(&self, uid: &str, kind: Cancel) -> Result<Option<Item>, LedgerError> {
        let call = self.call(Method::DELETE, &format!("/{uid}?kind={}", kind.as_str()));
        match self.ask("cancel", call).await {
            Ok(item) => Ok(Some(item)),
            Err(LedgerError::Gone) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub async fn suspend(&self, uid: &str, suspended: bool) -> Result<Item, LedgerError> {
        let call = self
            .call(Method::PUT, &format!("/{uid}/suspended"))
            .json(&serde_json::json!({ "suspended": suspended }));
        self.ask("suspend", call).await
    }

    fn call(&self, method: Method, rest: &str) -> RequestBuilder {
        let call = self.client.request(
            method,
            format!("{}/internal/v1/transcriptions{rest}", self.base),
        );
        match &self.key {
            Some(key) => call.bearer_auth(key),
            None => call,
        }
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        deed: &'static str,
        call: RequestBuilder,
    ) -> Result<T, LedgerError> {
        let count = |code: &str| {
            counter!(names::LEDGER_REQUESTS, "deed" => deed, "code" => code.to_owned()).increment(1)
        };
        let response = call.send().await.inspect_err(|_| count("error"))?;
        let status = response.status();
        count(status.as_str());
        if response
            .content_length()
            .is_some_and(|bytes| bytes > MOST_BYTES as u64)
        {
            return Err(LedgerError::Later("its answer is too long".to_owned()));
        }
        let body = response.bytes().await?;
        if status.is_success() {
            return Ok(serde_json::from_slice(&body)?);
        }
        Err(refusal(status, &body))
    }
}

fn refusal(status: StatusCode, body: &[u8]) -> LedgerError {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Said {
        code: String,
        detail: String,
    }
    let said: Said = serde_json::from_slice(body).unwrap_or_default();
    let code = if said.code.is_empty() {
        format!("http_{}", status.as_u16())
    } else {
        said.code
    };
    match status {
        StatusCode::NOT_FOUND if code == "not_found" || code.starts_with("http_") => {
            LedgerError::Later(
                "it does not know this route; is it older than the operator?".to_owned(),
            )
        }
        StatusCode::NOT_FOUND | StatusCode::GONE => LedgerError::Gone,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => LedgerError::Key(status),
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => {
            LedgerError::Later(code)
        }
        _ if status.is_client_error() => LedgerError::Refused(Problem {
            kind: "input".to_owned(),
            message: if said.detail.is_empty() {
                status.to_string()
            } else {
                said.detail
            },
            code,
        }),
        _ => LedgerError::Later(format!("{status} {code}")),
    }
}

/// A query string; the values are ours, but a release's name may hold anything.
fn encode(pairs: &[(&str, String)]) -> String {
    let mut text = String::new();
    for (name, value) in pairs {
        if !text.is_empty() {
            text.push('&');
        }
        text.push_str(name);
        text.push('=');
        for byte in value.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
                text.push(byte.into());
            } else {
                text.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    text
}
