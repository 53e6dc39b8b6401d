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

    /// Puts the next try off by up to a quarter more, at least up to a second: clients that obey must not all come
    /// back at once.
    #[must_use]
    pub(crate) fn spread(mut self, entropy: &Entropy) -> Self {
        self.retry_after_s = self.retry_after_s.map(|s| s.saturating_add(entropy.below(s / 4 + 2)));
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
        response.content_type("application/problem+json").body(body.to_string())
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
