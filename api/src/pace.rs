//! One piece of a body at a time. The multipart parser reads on for as long as pieces are ready and keeps all of them, so a client
//! that is quicker than the store would fill the memory. It knows nothing of what the pieces mean.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures::Stream;

/// Says "not yet" after each piece, and asks to be polled again at once: meanwhile the piece is used.
pub(crate) struct Paced<S> {
    inner: S,
    given: bool,
}

impl<S> Paced<S> {
    pub(crate) fn new(inner: S) -> Self {
        Self {
            inner,
            given: false,
        }
    }
}

impl<S: Stream + Unpin> Stream for Paced<S> {
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if std::mem::take(&mut this.given) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let next = Pin::new(&mut this.inner).poll_next(context);
        this.given = matches!(next, Poll::Ready(Some(_)));
        next
    }
}

#[cfg(test)]
mod tests {
    use futures::{StreamExt, stream};

    use super::*;

    #[tokio::test]
    async fn whoever_reads_greedily_gets_one_piece_at_a_time_and_all_in_the_end() {
        let mut paced = Paced::new(stream::iter(0..100));
        let mut all = Vec::new();
        let mut ended = false;
        while !ended {
            // As the parser does it: on and on until there is nothing.
            let grabbed = std::future::poll_fn(|context| {
                let mut grabbed = Vec::new();
                loop {
                    match paced.poll_next_unpin(context) {
                        Poll::Ready(Some(piece)) => grabbed.push(piece),
                        Poll::Ready(None) => {
                            ended = true;
                            return Poll::Ready(grabbed);
                        }
                        Poll::Pending if grabbed.is_empty() => return Poll::Pending,
                        Poll::Pending => return Poll::Ready(grabbed),
                    }
                }
            })
            .await;
            assert!(grabbed.len() <= 1, "{} at once", grabbed.len());
            all.extend(grabbed);
        }
        assert_eq!(all, (0..100).collect::<Vec<_>>());
    }
}
