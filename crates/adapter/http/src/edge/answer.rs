//! What becomes of an error, and what every answer carries.

use actix_web::{
    HttpResponse, ResponseError,
    body::BoxBody,
    dev::ServiceResponse,
    http::{
        StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue, X_CONTENT_TYPE_OPTIONS},
    },
};
use runtime::{Entropy, Origin};

use super::{
    quotas::Spoken,
    request_id::{self, REQUEST_ID},
};
use crate::problem::{Code, Problem};

/// A problem with its request: what is left when there is no response to change.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) problem: Problem,
    pub(super) path: String,
    pub(super) id: String,
    pub(super) headers: HeaderMap,
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
        for (name, value) in &self.headers {
            response.headers_mut().insert(name.clone(), value.clone());
        }
        response
    }
}

/// Whether an answer says all that it has to say: whatever is no error, and what a handler or a refusal wrote itself.
pub(super) fn is_written(response: &ServiceResponse<BoxBody>) -> bool {
    let status = response.status();
    let is_error = status.is_client_error() || status.is_server_error();
    !is_error || (response.response().error().is_none() && response.headers().contains_key(CONTENT_TYPE))
}

/// Replaces an error by its problem in full; the headers it had stay.
pub(super) fn written_out(
    response: ServiceResponse<BoxBody>,
    origin: &Origin,
    entropy: &Entropy,
    spoken: &mut Spoken,
) -> ServiceResponse<BoxBody> {
    let problem = match response.response().error().and_then(|error| error.as_error::<Problem>()) {
        Some(problem) => problem.clone().spread(entropy),
        // The framework's own errors have no body; an answer that somebody wrote stays as it is.
        None if !response.headers().contains_key(CONTENT_TYPE) => foreign(response.status()),
        None => return response,
    };
    spoken.of_handler = problem.over().to_vec();
    let mut full = problem.response(response.request().path(), origin.id());
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

/// What every answer carries.
pub(super) fn finish(headers: &mut HeaderMap, origin: &Origin, spoken: &Spoken) {
    if let Some(id) = request_id::header(origin) {
        headers.insert(REQUEST_ID, id);
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if !headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    spoken.describe(headers);
}
