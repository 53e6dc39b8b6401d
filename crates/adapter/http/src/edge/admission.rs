//! The place of admission control: the address first, then the token, then the passenger. A refusal touches no
//! database and reads no body.

use std::{
    fmt::Write,
    net::{IpAddr, Ipv4Addr},
};

use actix_web::{
    Error, HttpMessage,
    body::BoxBody,
    dev::{ServiceRequest, ServiceResponse},
    http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue},
    middleware::Next,
    web,
};
use traffic::{Caller, Class, Decision, Nanos, Quota};
use usecase::auth::access;

use super::address::client_address;
use crate::{
    Api, Config,
    extract::{Auth, Unclear, single},
    problem::{Code, Problem},
    routes,
};

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// Lets a request in, or answers 429.
///
/// # Errors
/// What the handler's service answers as an error.
pub async fn admit(request: ServiceRequest, next: Next<BoxBody>) -> Result<ServiceResponse<BoxBody>, Error> {
    let (Some(api), Some(config)) =
        (request.app_data::<web::Data<Api>>().cloned(), request.app_data::<web::Data<Config>>().cloned())
    else {
        return Err(Problem::internal(&"the application has no state").into());
    };
    // A connection without a peer address cannot be told from any other such one: they share one budget.
    let peer = request.peer_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip());
    let address = client_address(peer, request.headers(), &config.trusted_proxies);
    let (class, now) = (class_of(&request), Nanos::since_start_of(&api.started));
    let first = api.admission.check_address(address, class, now);
    if let Err(problem) = judge(&first) {
        return Ok(refuse(request, problem, first.quotas()));
    }
    let auth = authenticate(request.headers(), &api);
    let (passenger, device) = match &auth {
        Auth::Verified(access) => (Some(access.passenger_id.value()), None),
        Auth::Missing | Auth::Denied(_) => (None, None),
    };
    let second = api.admission.check_caller(Caller { address, passenger, device }, class, now).await;
    if let Err(problem) = judge(&second) {
        return Ok(refuse(request, problem, first.quotas().chain(second.quotas())));
    }
    request.extensions_mut().insert(auth);
    let mut response = next.call(request).await?;
    let problem = response.response().error().and_then(|error| error.as_error::<Problem>());
    let over = problem.and_then(Problem::over);
    describe(response.headers_mut(), first.quotas().chain(second.quotas()).chain(over));
    Ok(response)
}

/// What the request is to the limits; what is no route counts as what everybody may see.
fn class_of(request: &ServiceRequest) -> Class {
    let pattern = request.match_pattern();
    let route = routes::TABLE
        .iter()
        .find(|route| Some(route.path) == pattern.as_deref() && route.method == request.method().as_str());
    route.map_or(Class::Catalogue, |route| route.class)
}

fn judge(decision: &Decision) -> Result<(), Problem> {
    let Some(retry_after) = decision.retry_after().filter(|_| !decision.is_admitted()) else { return Ok(()) };
    let violated: Vec<&str> = decision.violated().collect();
    let seconds = retry_after.as_secs_f64().ceil().clamp(1.0, 86_400.0);
    let problem = Problem::new(Code::QuotaExceeded, format!("Spent for now: {}.", violated.join(", ")))
        .with("violated-policies", violated);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
    Err(problem.retry_after(seconds as u32))
}

fn refuse<'a>(
    request: ServiceRequest,
    problem: Problem,
    spoken: impl Iterator<Item = Quota<'a>>,
) -> ServiceResponse<BoxBody> {
    let mut response = request.error_response(problem);
    describe(response.headers_mut(), spoken);
    response
}

/// `RateLimit-Policy` and `RateLimit` (IETF draft httpapi-ratelimit-headers), one item a policy that spoke.
fn describe<'a>(headers: &mut HeaderMap, spoken: impl Iterator<Item = Quota<'a>>) {
    let (mut policies, mut limits) = (String::with_capacity(64), String::with_capacity(64));
    for Quota { policy, quota, window_s, remaining, reset_s } in spoken {
        let comma = if policies.is_empty() { "" } else { ", " };
        // Writing to a string does not fail.
        let _ = write!(policies, "{comma}\"{policy}\";q={quota};w={window_s}");
        let _ = write!(limits, "{comma}\"{policy}\";r={remaining};t={reset_s}");
    }
    for (name, items) in [(POLICY, policies), (LIMIT, limits)] {
        if !items.is_empty()
            && let Ok(value) = HeaderValue::try_from(items)
        {
            headers.insert(name, value);
        }
    }
}

fn authenticate(headers: &HeaderMap, api: &Api) -> Auth {
    let token = match single(headers, AUTHORIZATION) {
        Ok(None) => return Auth::Missing,
        Ok(Some(header)) => bearer(header),
        Err(Unclear) => None,
    };
    match token.map(|token| access::verify(&api.keys, token, api.clock.now())) {
        Some(Ok(access)) => Auth::Verified(access),
        Some(Err(denied)) => Auth::Denied(denied),
        None => Auth::Denied(access::Denied::Invalid),
    }
}

/// The token of `Bearer TOKEN`; the scheme in any case (RFC 9110).
pub(crate) fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
