//! `/livez`, `/readyz` and `/metrics`. Alive means that every loop turned lately, not that the API server or Redis answer:
//! restarting this process would heal neither.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::time::Instant;

use super::recorder;

/// A loop that did not turn for so long hangs.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// When each loop last turned.
#[derive(Clone, Debug, Default)]
pub struct Pulse {
    beats: Arc<Mutex<HashMap<&'static str, Instant>>>,
    ready: Arc<std::sync::atomic::AtomicBool>,
    /// What it waits for before it is ready.
    missing: Arc<Mutex<&'static str>>,
}

impl Pulse {
    pub fn beat(&self, name: &'static str) {
        self.beats.lock().insert(name, Instant::now());
    }

    /// Configured and connected; a standby is ready too.
    pub fn ready(&self) {
        self.ready.store(true, std::sync::atomic::Ordering::Release);
    }

    /// Not ready yet, or not any more, for want of this.
    pub fn misses(&self, what: &'static str) {
        *self.missing.lock() = what;
        self.ready
            .store(false, std::sync::atomic::Ordering::Release);
    }

    pub fn is_ready(&self) -> bool {
        self.ready.load(std::sync::atomic::Ordering::Acquire)
    }

    /// Loops that hang.
    pub fn stuck(&self) -> Vec<&'static str> {
        let now = Instant::now();
        let mut stuck: Vec<_> = self
            .beats
            .lock()
            .iter()
            .filter(|(_, beat)| now - **beat > LONGEST_PAUSE)
            .map(|(name, _)| *name)
            .collect();
        stuck.sort_unstable();
        stuck
    }
}

/// Answers for ever.
pub async fn serve(address: SocketAddr, pulse: Pulse) -> anyhow::Result<()> {
    let listener = TcpListener::bind(address).await.map_err(|error| {
        anyhow::anyhow!(
            "cannot listen on {address} for health and metrics: {error}; set --metrics-address"
        )
    })?;
    tracing::info!(address = %listener.local_addr()?, "health and metrics");
    loop {
        let (stream, _) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection for health or metrics failed");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let pulse = pulse.clone();
        tokio::spawn(async move {
            let answering = service_fn(move |request| {
                let answer = answer(&request, &pulse);
                async move { Ok::<_, Infallible>(answer) }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(Duration::from_secs(10))
                .serve_connection(TokioIo::new(stream), answering);
            // Whoever asks may hang up; that is nobody's failure.
            let _ = tokio::time::timeout(Duration::from_secs(120), connection).await;
        });
    }
}

fn answer(request: &Request<Incoming>, pulse: &Pulse) -> Response<Full<Bytes>> {
    let (status, text) = match request.uri().path() {
        "/livez" | "/healthz" => match pulse.stuck().as_slice() {
            [] => (StatusCode::OK, "ok\n".to_owned()),
            stuck => (
                StatusCode::INTERNAL_SERVER_ERROR,
                format!("hanging: {}\n", stuck.join(", ")),
            ),
        },
        "/readyz" if pulse.is_ready() => (StatusCode::OK, "ok\n".to_owned()),
        "/readyz" => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("{}\n", pulse.missing.lock()),
        ),
        "/metrics" => match recorder() {
            Some(recorder) => (StatusCode::OK, recorder.render()),
            None => (
                StatusCode::SERVICE_UNAVAILABLE,
                "metrics cannot be recorded\n".to_owned(),
            ),
        },
        _ => (
            StatusCode::NOT_FOUND,
            "/livez /readyz /metrics\n".to_owned(),
        ),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(
        hyper::header::CONTENT_TYPE,
        hyper::header::HeaderValue::from_static("text/plain; version=0.0.4"),
    );
    response
}
