//! A small HTTP server for the fakes: one function answers, bodies may go on for ever.

use std::convert::Infallible;
use std::future::Future;

use futures::Stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;

pub(crate) type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, Infallible>;

pub(crate) struct Call {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) body: Value,
}

impl Call {
    pub(crate) fn param(&self, name: &str) -> Option<String> {
        self.query.split('&').find_map(|pair| {
            let (key, value) = pair.split_once('=')?;
            (key == name).then(|| value.replace("%2F", "/").replace("%3D", "="))
        })
    }
}

/// Serves for as long as the runtime lives; the address.
pub(crate) async fn serve<F, W>(answer: F) -> String
where
    F: Fn(Call) -> W + Clone + Send + Sync + 'static,
    W: Future<Output = Response<Body>> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                continue;
            };
            let answer = answer.clone();
            tokio::spawn(async move {
                let service = service_fn(move |request: Request<Incoming>| {
                    let answer = answer.clone();
                    async move {
                        let (head, body) = request.into_parts();
                        let body = body
                            .collect()
                            .await
                            .map(|body| body.to_bytes())
                            .unwrap_or_default();
                        let call = Call {
                            method: head.method.to_string(),
                            path: head.uri.path().to_owned(),
                            query: head.uri.query().unwrap_or_default().to_owned(),
                            body: serde_json::from_slice(&body).unwrap_or_default(),
                        };
                        Ok::<_, Infallible>(answer(call).await)
                    }
                });
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    url
}

pub(crate) fn json(status: u16, value: &Value) -> Response<Body> {
    let body = http_body_util::Full::new(Bytes::from(value.to_string())).boxed_unsync();
    Response::builder()
        .status(status)
        .header("content-type", "application/json")
        .body(body)
        .unwrap()
}

pub(crate) fn plain(status: u16, text: &'static str) -> Response<Body> {
    let body = http_body_util::Full::new(Bytes::from(text)).boxed_unsync();
    Response::builder()
        .status(status)
        .header("content-type", "text/plain; charset=utf-8")
        .body(body)
        .unwrap()
}

/// An answer that goes on, a line for each value.
pub(crate) fn lines(values: impl Stream<Item = Value> + Send + 'static) -> Response<Body> {
    use futures::StreamExt;
    let frames =
        values.map(|value| Ok::<_, Infallible>(Frame::data(Bytes::from(format!("{value}\n")))));
    Response::new(BodyExt::boxed_unsync(StreamBody::new(frames)))
}
