//! A file server of our own: a recording, and everything that can be wrong with one. It counts what it is asked for.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;

use crate::audio_files;

pub(crate) struct Files {
    pub(crate) base: String,
    asked: Arc<AtomicUsize>,
}

impl Files {
    pub(crate) async fn start() -> Self {
        let asked = Arc::new(AtomicUsize::new(0));
        let routes = Router::new()
            .fallback(answer)
            .with_state(Arc::clone(&asked));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Self { base, asked }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

async fn answer(State(asked): State<Arc<AtomicUsize>>, request: Request) -> Response {
    let before = asked.fetch_add(1, Ordering::Relaxed);
    let moved = |to: &str| (StatusCode::FOUND, [(header::LOCATION, to.to_owned())]).into_response();
    let status = |status: u16| StatusCode::from_u16(status).unwrap().into_response();
    match request.uri().path() {
        "/take%203.wav" | "/take.wav" => audio_files::tone(1.0).into_response(),
        "/long.wav" => audio_files::tone(40.0).into_response(),
        "/text.mp3" => audio_files::text().into_response(),
        "/empty.wav" => Vec::new().into_response(),
        // Without a length, so that only counting helps.
        "/endless.wav" => {
            let piece = Bytes::from(vec![0_u8; 64 * 1024]);
            let endless =
                futures::stream::repeat_with(move || Ok::<_, std::io::Error>(piece.clone()));
            Body::from_stream(endless).into_response()
        }
        "/large.wav" => vec![0_u8; 400_000].into_response(),
        "/cut.wav" => {
            let pieces = [
                Ok(Bytes::from(audio_files::tone(1.0))),
                Err(std::io::Error::other("cut")),
            ];
            Body::from_stream(futures::stream::iter(pieces)).into_response()
        }
        "/never.wav" => {
            tokio::time::sleep(Duration::from_secs(600)).await;
            status(200)
        }
        // The first request fails.
        "/flaky.wav" if before == 0 => status(503),
        "/flaky.wav" => audio_files::tone(1.0).into_response(),
        "/down.wav" => status(500),
        "/secret.wav" => status(403),
        "/teapot.wav" => status(418),
        "/moved.wav" => moved("/take.wav"),
        "/metadata.wav" => moved("http://169.254.169.254/latest/meta-data/"),
        "/loopback.wav" => moved("http://127.0.0.2:8000/"),
        "/round.wav" => moved("/round.wav"),
        "/nothing.wav" => StatusCode::NO_CONTENT.into_response(),
        _ => status(404),
    }
}
