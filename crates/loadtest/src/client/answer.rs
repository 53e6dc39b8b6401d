//! An answer, and what it says to a client.

use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::{Response, header::HeaderMap};

use crate::wire::Problem;

/// An answer: complete, or the beginning of a stream.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// The stream, instead of a body, when one was asked for and this is a 200.
    pub(crate) stream: Option<Response>,
    /// When it was asked for, at the try that it answers.
    pub(crate) asked: Instant,
    /// Since when an earlier try may have had its effect: its answer got lost.
    pub(crate) lost_since: Option<Instant>,
}

impl Answer {
    #[cfg(test)]
    pub(crate) fn empty(status: u16) -> Self {
        let (headers, asked) = (HeaderMap::new(), Instant::now());
        Self { status, headers, body: Bytes::new(), stream: None, asked, lost_since: None }
    }

    #[cfg(test)]
    pub(crate) fn with(status: u16, header: (&'static str, &'static str), body: &'static str) -> Self {
        let headers =
            HeaderMap::from_iter([(header.0.parse().unwrap(), reqwest::header::HeaderValue::from_static(header.1))]);
        Self { headers, body: Bytes::from_static(body.as_bytes()), ..Self::empty(status) }
    }

    /// A header's text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Whether the `ETag` is this version.
    pub(crate) fn is_tagged(&self, version: u64) -> bool {
        self.header("etag") == Some(format!("\"{version}\"").as_str())
    }

    /// The problem's code, when it is a problem.
    pub(crate) fn code(&self) -> Option<String> {
        serde_json::from_slice::<Problem>(&self.body).ok().map(|problem| problem.code)
    }

    /// Whether it may have had its effect at an earlier try already.
    pub(crate) fn is_repeat(&self) -> bool {
        self.lost_since.is_some()
    }

    /// Refused because there is too much to do: to come back is what the contract asks for.
    pub(super) fn is_shed(&self) -> bool {
        self.status == 503 && self.code().as_deref() == Some("temporary-reduced-capacity")
    }

    /// A 503 that says that something does not answer, as the contract has it.
    pub(super) fn says_unavailable(&self) -> bool {
        self.code().as_deref() == Some("unavailable")
    }

    /// Worth another try by itself.
    pub(super) fn is_refusal(&self) -> bool {
        let racing = || self.code().as_deref() == Some("idempotency-in-progress");
        self.status == 429 || self.status >= 500 || (self.status == 409 && racing())
    }

    pub(super) fn retry_after(&self) -> Option<Duration> {
        self.header("retry-after")?.parse().ok().map(Duration::from_secs)
    }

    /// The beginning of the body, for a report.
    pub(crate) fn excerpt(&self) -> String {
        String::from_utf8_lossy(&self.body).chars().take(300).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_etag_is_a_quoted_version() {
        assert!(Answer::with(200, ("etag", "\"7\""), "").is_tagged(7));
        assert!(!Answer::with(200, ("etag", "7"), "").is_tagged(7));
        assert!(!Answer::with(200, ("etag", "\"8\""), "").is_tagged(7));
    }

    #[test]
    fn limits_failures_and_a_racing_key_are_tried_again_and_nothing_else() {
        let is = |status, body| Answer::with(status, ("x", "y"), body).is_refusal();
        assert!(is(429, "") && is(500, "") && is(503, ""));
        assert!(is(409, r#"{"code":"idempotency-in-progress"}"#));
        assert!(!is(409, r#"{"code":"already-riding"}"#) && !is(404, "") && !is(201, ""));
    }
}
