//! The only place where errors become HTTP (RFC 9457). Every `match` is exhaustive: a new error does not compile
//! until somebody decides what the client sees. Internal text goes to the log only.

mod code;
mod from;

use std::fmt;

use actix_web::{HttpResponse, ResponseError, http::StatusCode};
pub use code::Code;
use runtime::Entropy;
use serde::Serialize;
use serde_json::{Map, Value, json};
use traffic::Quota;

/// What a client is told instead of what it asked for.
#[derive(Clone, Debug)]
pub struct Problem {
    /// What kind.
    pub code: Code,
    detail: String,
    fields: Map<String, Value>,
    retry_after_s: Option<u32>,
    over: Option<Quota<'static>>,
}

/// The media type of a problem.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

/// A wait of so many seconds, put off by up to a quarter more and at least up to four seconds: clients that obey must not
/// all come back at once. Each number of seconds is as likely as any other, so that those who are refused during one
/// second come back evenly over all of them: the wave is as flat as what caused it was, and at least five times lower.
#[must_use]
pub(crate) fn spread(seconds: u32, entropy: &Entropy) -> u32 {
    seconds.saturating_add(entropy.below((seconds / 4).max(4) + 1))
}

/// What a handler gives: an answer, or the problem that becomes one.
pub(crate) type Answer = Result<HttpResponse, Problem>;

impl Problem {
    /// A problem with a sentence for the client's developer.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), fields: Map::new(), retry_after_s: None, over: None }
    }

    /// Adds a field of the case.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Serialize) -> Self {
        self.fields.insert(name.to_owned(), json!(value));
        self
    }

    /// Tells when to try again, in seconds.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_s = Some(seconds.max(1));
        self
    }

    /// Puts the next try off, see [`spread`].
    #[must_use]
    pub(crate) fn spread(mut self, entropy: &Entropy) -> Self {
        self.retry_after_s = self.retry_after_s.map(|seconds| spread(seconds, entropy));
        self
    }

    /// A limit refused; admission control, which speaks of the others too, describes it in the headers.
    pub(crate) fn over_quota(detail: impl Into<String>, quota: Quota<'static>) -> Self {
        let refused = Self::new(Code::QuotaExceeded, detail).with("violated-policies", [quota.policy]);
        Self { over: Some(quota), ..refused }
    }

    /// The limit that refused, if one did.
    pub(crate) fn over(&self) -> Option<Quota<'static>> {
        self.over
    }

    /// A field that cannot be taken, and what can.
    pub fn invalid_field(field: &str, allowed: impl Into<String>) -> Self {
        let allowed = allowed.into();
        Self::new(Code::InvalidField, format!("`{field}` is not acceptable; allowed: {allowed}"))
            .with("field", field)
            .with("allowed", allowed)
    }

    /// Something of ours broke: the text is logged, the client gets the request id.
    pub fn internal(error: &dyn fmt::Display) -> Self {
        tracing::error!(%error, "internal error");
        Self::new(Code::Internal, "Something went wrong on our side.")
    }

    /// Something we need did not answer in time.
    pub fn unavailable(error: &dyn fmt::Display) -> Self {
        tracing::warn!(%error, "unavailable");
        Self::new(Code::Unavailable, "A service that this call needs does not answer; try again.").retry_after(1)
    }

    /// No such thing, or somebody else's, which is the same.
    #[must_use]
    pub fn not_found() -> Self {
        Self::new(Code::NotFound, "There is nothing here.")
    }

    /// The answer, telling which call it belongs to.
    #[must_use]
    pub fn response(&self, instance: &str, request_id: &str) -> HttpResponse {
        let mut body = json!({
            "type": self.code.type_uri(),
            "title": self.code.title(),
            "status": self.code.status().as_u16(),
            "detail": self.detail,
            "instance": instance,
            "code": self.code.name(),
            "retryable": self.code.is_retryable(),
        });
        if let Some(members) = body.as_object_mut() {
            for (name, value) in &self.fields {
                // A field of the case never replaces a member that every problem has.
                members.entry(name.clone()).or_insert_with(|| value.clone());
            }
            if self.code == Code::Internal {
                members.insert("request_id".to_owned(), json!(request_id));
            }
        }
        let mut response = HttpResponse::build(self.code.status());
        if let Some(seconds) = self.retry_after_s {
            response.insert_header(("Retry-After", seconds.to_string()));
        }
        if self.code.status() == StatusCode::UNAUTHORIZED {
            // RFC 6750, section 3.
            response.insert_header(("WWW-Authenticate", "Bearer"));
        }
        response.content_type(PROBLEM_JSON).body(body.to_string())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.name(), self.detail)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.code.status()
    }

    /// Only the status: [`crate::edge`] finds the problem in the response and writes it out in full.
    fn error_response(&self) -> HttpResponse {
        HttpResponse::new(self.code.status())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The worst case of the contract: everybody is refused within one second, and told the same wait. However the
    /// seconds in which they come back are counted, none has half as many again as the mean.
    #[test]
    fn whoever_is_refused_together_comes_back_in_a_flat_wave() {
        const CLIENTS: u32 = 20_000;
        let entropy = Entropy::seeded(11);
        for wait in [1, 2, 3, 10, 60] {
            for phase_ms in [0, 250, 500, 999] {
                let mut bins = std::collections::BTreeMap::new();
                for client in 0..CLIENTS {
                    let refused_ms = phase_ms + client * 1000 / CLIENTS;
                    *bins.entry((refused_ms + spread(wait, &entropy) * 1000) / 1000).or_insert(0) += 1;
                }
                let (peak, mean) = (bins.values().max().unwrap(), f64::from(CLIENTS) / bins.len() as f64);
                assert!(f64::from(*peak) / mean <= 1.5, "{wait} {phase_ms}: {bins:?}");
            }
        }
    }

    #[test]
    fn nobody_is_told_to_come_back_early_or_much_too_late() {
        let entropy = Entropy::seeded(12);
        for wait in [1, 4, 60, 3600, u32::MAX] {
            for _ in 0..100 {
                let told = spread(wait, &entropy);
                assert!(told >= wait && told - wait <= (wait / 4).max(4));
            }
        }
    }
}
