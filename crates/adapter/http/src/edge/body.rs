//! The body of a request that was refused before anybody read it.

use std::{future::poll_fn, pin::Pin, task::Poll};

use actix_web::dev::Payload;
use futures_util::Stream;

/// Throws away what of the body has come already, and waits for nothing: where that was all of it, as with every small
/// body, the connection lives on. Otherwise it is closed after the answer, because what is still to come cannot be told
/// from the next request. Bounded by what the connection holds in its buffers.
pub(super) async fn discard(mut payload: Payload) {
    if matches!(payload, Payload::None) {
        return;
    }
    let mut has_looked = false;
    poll_fn(|context| {
        while let Poll::Ready(piece) = Pin::new(&mut payload).poll_next(context) {
            if !matches!(piece, Some(Ok(_))) {
                return Poll::Ready(());
            }
        }
        // The connection hands over the body only after its head was looked at: come back once, at once.
        if std::mem::replace(&mut has_looked, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
