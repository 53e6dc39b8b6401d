//! The body of a request that was answered before anybody read all of it.

use std::{
    cell::RefCell,
    future::poll_fn,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use actix_web::{
    body::{BodySize, BoxBody, MessageBody},
    dev::{Payload, ServiceRequest, ServiceResponse},
    error::PayloadError,
};
use bytes::Bytes;
use futures_util::Stream;

use crate::door::Line;

/// The body of a request, lent to whoever answers it.
pub(super) struct Lent(Rc<RefCell<Source>>);

struct Source {
    payload: Payload,
    has_ended: bool,
    /// Who counts what the connection holds.
    line: Option<Line>,
}

impl Source {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, PayloadError>>> {
        if self.has_ended {
            return Poll::Ready(None);
        }
        let piece = Pin::new(&mut self.payload).poll_next(context);
        if let (Poll::Ready(Some(Ok(piece))), Some(line)) = (&piece, &self.line) {
            line.took(piece.len());
        }
        self.has_ended = matches!(piece, Poll::Ready(None | Some(Err(_))));
        piece
    }
}

/// What the borrower sees of it.
struct Borrowed(Rc<RefCell<Source>>);

impl Stream for Borrowed {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.borrow_mut().poll(context)
    }
}

/// Lends the body out, if there is one.
pub(super) fn lend(request: &mut ServiceRequest) -> Option<Lent> {
    let line = request.request().conn_data::<Line>().cloned();
    let payload = request.parts_mut().1;
    if matches!(payload, Payload::None) {
        return None;
    }
    let source = Rc::new(RefCell::new(Source { payload: payload.take(), has_ended: false, line }));
    *payload = Payload::Stream { payload: Box::pin(Borrowed(Rc::clone(&source))) };
    Some(Lent(source))
}

impl Lent {
    /// Throws away what of the body has come already, and waits for nothing: where that was all of it, as with every small
    /// body, the connection lives on. Otherwise the answer says that it is closed and it is, because what is still to come
    /// cannot be told from the next request. Bounded by what the connection holds in its buffers.
    pub(super) async fn end(self, response: ServiceResponse) -> ServiceResponse {
        // An answer without end leaves no next request to wait for: the framework skips what comes meanwhile.
        if self.is_over().await || matches!(response.response().body().size(), BodySize::Stream) {
            return response;
        }
        // As long as somebody has the body in hand, the framework does not take the rest of it for skipped.
        response.map_body(|_, body| BoxBody::new(Unread { body, _rest: self.0 }))
    }

    async fn is_over(&self) -> bool {
        let mut has_looked = false;
        poll_fn(|context| {
            let mut source = self.0.borrow_mut();
            while !source.has_ended && source.poll(context).is_ready() {}
            // The connection hands over the body only after its head was looked at: come back once, at once.
            if source.has_ended || std::mem::replace(&mut has_looked, true) {
                return Poll::Ready(source.has_ended);
            }
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await
    }
}

/// An answer's body, and what nobody read of its request's.
struct Unread {
    body: BoxBody,
    _rest: Rc<RefCell<Source>>,
}

impl MessageBody for Unread {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.body).poll_next(context)
    }
}
