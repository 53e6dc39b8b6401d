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
use traffic::{Decision, Quota};
use usecase::auth::access;

use super::address::client_address;
use crate::{
    Api, Config,
    extract::{Auth, ClientAddress, Unclear, single},
    problem::{Code, Problem},
};

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// Limits that spoke behind the admission step and did not refuse: a handler leaves them in its answer's extensions.
pub(crate) struct Spoken(pub(crate) Vec<Quota>);

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
    let mut spoken = vec![];
    if let Err(problem) = judge(api.admission.check_address(address), &mut spoken) {
        return Ok(refuse(request, problem, &spoken));
    }
    let auth = authenticate(request.headers(), &api);
    if let Auth::Verified(access) = &auth {
        let decision = api.admission.check_passenger(access.passenger_id.value());
        if let Err(problem) = judge(decision, &mut spoken) {
            return Ok(refuse(request, problem, &spoken));
        }
    }
    request.extensions_mut().insert(auth);
    request.extensions_mut().insert(ClientAddress(address));
    let mut response = next.call(request).await?;
    let problem = response.response().error().and_then(|error| error.as_error::<Problem>());
    spoken.extend(problem.map_or(&[][..], Problem::over));
    spoken.extend(response.response().extensions().get::<Spoken>().map_or(&[][..], |Spoken(quotas)| quotas));
    describe(response.headers_mut(), &spoken);
    Ok(response)
}

fn judge(decision: Decision, spoken: &mut Vec<Quota>) -> Result<(), Problem> {
    spoken.push(decision.quota());
    match decision {
        Decision::Admitted(_) => Ok(()),
        Decision::Refused { quota, retry_after } => {
            let seconds = retry_after.as_secs_f64().ceil().clamp(1.0, 86_400.0);
            let problem = Problem::new(Code::QuotaExceeded, format!("The budget `{}` is spent for now.", quota.policy))
                .with("violated-policies", [quota.policy]);
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
            Err(problem.retry_after(seconds as u32))
        }
    }
}

fn refuse(request: ServiceRequest, problem: Problem, spoken: &[Quota]) -> ServiceResponse<BoxBody> {
    let mut response = request.error_response(problem);
    describe(response.headers_mut(), spoken);
    response
}

/// `RateLimit-Policy` and `RateLimit` (IETF draft httpapi-ratelimit-headers), one item a policy that spoke.
fn describe(headers: &mut HeaderMap, spoken: &[Quota]) {
    let (mut policies, mut limits) = (String::with_capacity(64), String::with_capacity(64));
    for Quota { policy, quota, window_s, remaining, reset_s } in spoken {
        let comma = if policies.is_empty() { "" } else { ", " };
        // Writing to a string does not fail.
        let _ = write!(policies, "{comma}\"{policy}\";q={quota};w={window_s}");
        let _ = write!(limits, "{comma}\"{policy}\";r={remaining};t={reset_s}");
    }
    for (name, items) in [(POLICY, policies), (LIMIT, limits)] {
        if let Ok(value) = HeaderValue::try_from(items) {
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
