//! What ties an answer, its log lines and the caller's own log together.

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use runtime::{Entropy, Origin};

pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The caller's id if it is short and plain, else a new one; and the trace that the caller's `traceparent` (W3C Trace
/// Context) belongs to.
pub(super) fn origin(headers: &HeaderMap, entropy: &Entropy) -> Origin {
    let given = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok());
    let plain = |id: &&str| (1..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic());
    let origin = given.filter(plain).map_or_else(|| Origin::drawn(entropy.bytes()), Origin::given);
    match headers.get(TRACEPARENT).and_then(|value| value.to_str().ok()) {
        Some(parent) => origin.within_trace(parent.split('-').nth(1)),
        None => origin,
    }
}

/// The id as the answer carries it.
pub(super) fn header(origin: &Origin) -> Option<HeaderValue> {
    HeaderValue::from_str(origin.id()).ok()
}
