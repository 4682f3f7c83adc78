//! Accepts connections and ends them: header time-out, graceful shutdown with a hard end. No routes, no state.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// What a connection may hold unread, and with it the longest head of a request. Many uploads at once must stay small.
const READ_BUFFER_BYTES: usize = 128 * 1024;
const PAUSE_AFTER_ACCEPT_ERROR: Duration = Duration::from_millis(100);

/// Times of one listener.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    /// For sending the headers of a request; idle connections end after it, too.
    pub(crate) header: Duration,
    /// For open requests after shutdown.
    pub(crate) grace: Duration,
}

/// Serves until `shutdown`, then lets open requests end within the grace and drops the rest.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    times: Times,
    shutdown: CancellationToken,
) -> Result<(), Infallible> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .max_buf_size(READ_BUFFER_BYTES)
        .header_read_timeout(times.header);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Some(times.header));
    let graceful = GracefulShutdown::new();
    let killed = CancellationToken::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.cancelled() => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of file descriptors, most likely: wait for some to come back.
                tracing::warn!(cause = %error, "failed to accept a connection");
                tokio::time::sleep(PAUSE_AFTER_ACCEPT_ERROR).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let service = TowerToHyperService::new(router.clone());
        let connection = builder
            .serve_connection(TokioIo::new(stream), service)
            .into_owned();
        let connection = graceful.watch(connection);
        let killed = killed.clone();
        tokio::spawn(async move {
            tokio::select! {
                ended = connection => if let Err(error) = ended {
                    tracing::debug!(cause = %error, "a connection ended badly");
                },
                () = killed.cancelled() => {}
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(times.grace, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!("requests were still open at the end of the grace; they are dropped");
    }
    killed.cancel();
    Ok(())
}
