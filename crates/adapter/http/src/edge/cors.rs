//! Who may call from a page in a browser (CORS, Fetch standard). Preflights are answered here, before admission control:
//! they are no request of anybody's yet. Refusals carry the same headers as answers, or a page could not read when to
//! come back.

use actix_cors::Cors;
use actix_web::middleware::Condition;

use crate::AllowedOrigin;

/// What pages send beside what every page may.
const ASKED: [&str; 8] = [
    "authorization",
    "content-type",
    "idempotency-key",
    "if-match",
    "if-none-match",
    "last-event-id",
    "traceparent",
    "x-request-id",
];
/// What pages may read beside what every page may.
const TOLD: [&str; 7] =
    ["etag", "idempotency-replayed", "location", "ratelimit", "ratelimit-policy", "retry-after", "x-request-id"];
/// How long a browser need not ask again, seconds; some take no more than two hours.
const MAX_AGE_S: usize = 7200;

/// The step; nothing at all when no origin is allowed. No cookie and no other credential of the browser's own is ever
/// read, so none is allowed.
pub(crate) fn cors(origins: &[AllowedOrigin]) -> Condition<Cors> {
    let cors = Cors::default()
        .allowed_methods(["GET", "POST", "PATCH", "DELETE"])
        .allowed_headers(ASKED)
        .expose_headers(TOLD)
        // Another page's request is answered, without leave to read it: its browser sees to that.
        .block_on_origin_mismatch(false)
        .max_age(MAX_AGE_S);
    let cors = origins.iter().fold(cors, |cors, origin| match origin {
        AllowedOrigin::Any => cors.allow_any_origin().send_wildcard(),
        AllowedOrigin::One(origin) => cors.allowed_origin(origin),
    });
    Condition::new(!origins.is_empty(), cors)
}
