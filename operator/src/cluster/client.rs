//! The client: calls are counted, bounded in time and never repeated behind our back. The library's own default is to wait
//! without end and to try fifteen times, so that one sick call could hold an object for minutes.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::{Request, Response};
use kube::client::{Body, ClientBuilder};
use kube::{Client, Config};
use metrics::counter;
use tower::{BoxError, Layer, Service};

use crate::telemetry::names;

/// No single call takes longer; a watch is bounded by its mirror.
pub const CALL_BOUND: Duration = Duration::from_secs(10);

/// A call to the API server that came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    #[error("the API server did not answer within {} s", CALL_BOUND.as_secs())]
    TooSlow,
    #[error(transparent)]
    Kube(#[from] kube::Error),
}

impl CallError {
    fn status(&self) -> Option<&kube::core::Status> {
        match self {
            CallError::Kube(kube::Error::Api(status)) => Some(status),
            _ => None,
        }
    }

    pub fn is_not_found(&self) -> bool {
        self.status().is_some_and(|status| status.code == 404)
    }

    pub fn is_conflict(&self) -> bool {
        self.status().is_some_and(|status| status.code == 409)
    }

    /// The API server understood and will not: asking again changes nothing. Its words.
    pub fn refusal(&self) -> Option<&str> {
        self.status()
            .filter(|status| matches!(status.code, 400 | 403 | 422))
            .map(|status| status.message.as_str())
    }
}

/// Runs one call within its bound.
pub async fn within<T>(call: impl Future<Output = Result<T, kube::Error>>) -> Result<T, CallError> {
    match tokio::time::timeout(CALL_BOUND, call).await {
        Ok(answer) => Ok(answer?),
        Err(_) => {
            counter!(names::APISERVER_TIMEOUTS).increment(1);
            Err(CallError::TooSlow)
        }
    }
}

/// From the environment: in a pod its service account, elsewhere the kubeconfig.
pub async fn connect(mut config: Config) -> Result<Client, kube::Error> {
    config.default_retry = false;
    config.connect_timeout = Some(Duration::from_secs(5));
    Ok(ClientBuilder::try_from(config)?
        .with_layer(&Counted)
        .build())
}

/// Counts requests and bounds the time until an answer begins.
struct Counted;

impl<S> Layer<S> for Counted {
    type Service = Counting<S>;

    fn layer(&self, inner: S) -> Counting<S> {
        Counting { inner }
    }
}

struct Counting<S> {
    inner: S,
}

impl<S, B> Service<Request<Body>> for Counting<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: 'static,
{
    type Response = Response<B>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<B>, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let resource = resource(request.uri().path()).to_owned();
        let watch = request
            .uri()
            .query()
            .is_some_and(|query| query.contains("watch=true"));
        let verb = if watch {
            "WATCH".to_owned()
        } else {
            request.method().as_str().to_owned()
        };
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = tokio::time::timeout(CALL_BOUND, answer).await;
            let code = match &answer {
                Ok(Ok(response)) => response.status().as_u16().to_string(),
                Ok(Err(_)) => "error".to_owned(),
                Err(_) => "timeout".to_owned(),
            };
            counter!(names::APISERVER_REQUESTS, "verb" => verb, "resource" => resource, "code" => code)
                .increment(1);
            match answer {
                Ok(answer) => answer.map_err(Into::into),
                Err(_) => Err("the API server did not begin to answer in time".into()),
            }
        })
    }
}

/// The plural of a path: `/apis/apps/v1/namespaces/music/deployments/gpu` is about deployments.
fn resource(path: &str) -> &str {
    let mut parts = path.trim_matches('/').split('/');
    match parts.next() {
        Some("api") => drop(parts.next()),
        Some("apis") => drop((parts.next(), parts.next())),
        _ => return "other",
    }
    match (parts.next(), parts.next(), parts.next()) {
        (Some("namespaces"), Some(_), Some(resource)) => resource,
        (Some(resource), ..) => resource,
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::resource;

    #[test]
    fn the_resource_of_a_path() {
        for (path, expected) in [
            (
                "/apis/apps/v1/namespaces/music/deployments/gpu",
                "deployments",
            ),
            ("/api/v1/namespaces/music/pods", "pods"),
            ("/apis/whatsthetab.dev/v1alpha1/workerpools", "workerpools"),
            ("/api/v1/namespaces/music", "namespaces"),
            ("/version", "other"),
        ] {
            assert_eq!(resource(path), expected, "{path}");
        }
    }
}
