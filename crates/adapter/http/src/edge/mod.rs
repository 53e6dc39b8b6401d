//! Around every request: its id, its log line and metrics, panics, and problems written out in full.

pub mod address;
pub mod admission;
mod metrics;

use actix_web::{
    Error, HttpResponse, ResponseError,
    body::BoxBody,
    dev::{ServiceRequest, ServiceResponse},
    http::{
        ConnectionType, StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS},
    },
    middleware::Next,
    web,
};
pub use metrics::Metrics;
use runtime::{Entropy, Stopwatch, task::catch_panic};
use tracing::Instrument;

use crate::{
    Readiness,
    problem::{Code, Problem},
};

/// What the edge of a listener needs.
pub struct Edge {
    /// Draws request ids.
    pub entropy: Entropy,
    /// The series of the HTTP layer.
    pub metrics: Metrics,
    /// Whether to log one line a request.
    pub access_log: bool,
    /// Whether clients should stay.
    pub ready: Readiness,
}

/// Ties an answer, its log lines and the caller's own log together.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The outermost step of both listeners.
///
/// # Errors
/// Only what is already a full answer.
pub async fn around(request: ServiceRequest, next: Next<BoxBody>) -> Result<ServiceResponse<BoxBody>, Error> {
    let stopwatch = Stopwatch::start();
    let Some(edge) = request.app_data::<web::Data<Edge>>().cloned() else {
        return Err(Problem::internal(&"the application has no edge").into());
    };
    let id = request_id(request.headers(), &edge.entropy);
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let span = tracing::info_span!("request", id, trace = trace_id(request.headers()));
    let outcome = catch_panic(next.call(request).instrument(span.clone())).await;
    let _in_span = span.enter();
    let (route, answer) = match outcome {
        Ok(Ok(response)) => {
            let route = response.request().match_pattern().unwrap_or_else(|| "unmatched".to_owned());
            (route, Ok(written_out(response, uri.path(), &id, &edge.entropy)))
        }
        Ok(Err(error)) => {
            let problem = error.as_error::<Problem>().cloned().unwrap_or_else(|| Problem::internal(&error));
            ("unmatched".to_owned(), Err(problem))
        }
        Err(panic) => ("panicked".to_owned(), Err(Problem::internal(&format!("a handler panicked: {panic}")))),
    };
    let status = match &answer {
        Ok(response) => response.status(),
        Err(problem) => problem.status_code(),
    };
    let elapsed = stopwatch.elapsed();
    edge.metrics.observe(&route, &method, status, elapsed);
    if edge.access_log {
        // The route, never the path: a path may hold a phone.
        let ms = elapsed.as_secs_f64() * 1000.0;
        tracing::info!(target: "access", %method, route, status = status.as_u16(), ms, "answered");
    }
    match answer {
        Ok(mut response) => {
            finish(response.headers_mut(), &id);
            if !edge.ready.get() {
                // The listeners are about to close: whoever keeps this connection would find it cut.
                response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
            }
            Ok(response)
        }
        // There is no request left to answer: the framework answers with this error, which is a full problem.
        Err(problem) => Err(Answered { problem, path: uri.path().to_owned(), id }.into()),
    }
}

/// A problem with its request: what is left when there is no response to change.
#[derive(Debug)]
struct Answered {
    problem: Problem,
    path: String,
    id: String,
}

impl std::fmt::Display for Answered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.problem.fmt(f)
    }
}

impl ResponseError for Answered {
    fn status_code(&self) -> StatusCode {
        self.problem.status_code()
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = self.problem.response(&self.path, &self.id);
        finish(response.headers_mut(), &self.id);
        response
    }
}

/// Replaces an error by its problem in full; the headers it had stay.
fn written_out(
    response: ServiceResponse<BoxBody>,
    path: &str,
    id: &str,
    entropy: &Entropy,
) -> ServiceResponse<BoxBody> {
    let status = response.status();
    let problem = match response.response().error().and_then(|error| error.as_error::<Problem>()) {
        Some(problem) => problem.clone().spread(entropy),
        // The framework's own errors have no body; an answer that a handler wrote stays as it is.
        None if (status.is_client_error() || status.is_server_error())
            && !response.headers().contains_key(CONTENT_TYPE) =>
        {
            foreign(status)
        }
        None => return response,
    };
    let mut full = problem.response(path, id);
    for (name, value) in response.headers() {
        full.headers_mut().append(name.clone(), value.clone());
    }
    response.into_response(full)
}

/// An error that the framework answered itself.
fn foreign(status: StatusCode) -> Problem {
    match status {
        StatusCode::NOT_FOUND => Problem::not_found(),
        StatusCode::METHOD_NOT_ALLOWED => Problem::new(Code::MethodNotAllowed, "See the Allow header."),
        StatusCode::PAYLOAD_TOO_LARGE => Problem::new(Code::BodyTooLarge, "The body is too large."),
        status if status.is_client_error() => Problem::new(Code::Malformed, "The request cannot be read."),
        status => Problem::internal(&format!("the framework answered {status}")),
    }
}

fn finish(headers: &mut HeaderMap, id: &str) {
    if let Ok(value) = HeaderValue::from_str(id) {
        headers.insert(REQUEST_ID, value);
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if !headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
}

/// The caller's id if it is short and plain, else a new one.
fn request_id(headers: &HeaderMap, entropy: &Entropy) -> String {
    let given = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok());
    let plain = |id: &&str| (1..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic());
    given.filter(plain).map_or_else(|| format!("{:032x}", u128::from_be_bytes(entropy.bytes())), str::to_owned)
}

/// The trace that the caller's `traceparent` (W3C Trace Context) belongs to.
fn trace_id(headers: &HeaderMap) -> Option<&str> {
    let trace = headers.get(TRACEPARENT)?.to_str().ok()?.split('-').nth(1)?;
    (trace.len() == 32 && trace.bytes().all(|b| b.is_ascii_hexdigit())).then_some(trace)
}

#[cfg(test)]
mod tests;
