//! Reads on, within reason, after a body was refused: the answer goes out at once, while the client is still sending, and a
//! connection that were closed under its hands would take the answer with it. It looks at no byte and knows no route.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::http::header;
use axum::middleware::Next;
use axum::response::Response;
use futures::StreamExt;
use parking_lot::Mutex;

/// For a client that sends on after its answer; then the connection closes.
const PATIENCE: Duration = Duration::from_secs(5);

/// Middleware.
pub(crate) async fn read_to_the_end(request: Request, next: Next) -> Response {
    // Whoever asked first (`Expect: 100-continue`) has not sent anything yet, and need not.
    if request.body().is_end_stream() || request.headers().contains_key(header::EXPECT) {
        return next.run(request).await;
    }
    let (head, body) = request.into_parts();
    let owned = Arc::new(Mutex::new(body.into_data_stream().fuse()));
    let lent = Arc::clone(&owned);
    let lent = futures::stream::poll_fn(move |context| lent.lock().poll_next_unpin(context));
    let response = next
        .run(Request::from_parts(head, Body::from_stream(lent)))
        .await;
    let rest = futures::future::poll_fn(move |context| {
        loop {
            match owned.lock().poll_next_unpin(context) {
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    });
    if response.status().is_client_error() || response.status().is_server_error() {
        tokio::spawn(tokio::time::timeout(PATIENCE, rest));
    }
    response
}
