//! Admission control, cheapest refusal first: the address, a place among the work in progress, the token, the passenger.
//! A refusal touches no database and waits for no body.

use actix_web::{
    Error, HttpMessage, HttpResponse,
    dev::{Service, ServiceRequest, ServiceResponse},
    http::{
        Method,
        header::{ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION, HeaderMap, ORIGIN},
    },
    web,
};
use traffic::{Caller, Class, Nanos};
use usecase::auth::access;

use super::{
    address,
    around::{Entry, Passage},
    discard::discard,
    refusal,
};
use crate::{
    Api, Config,
    extract::{Auth, Query, Unclear, body, single},
    routes::{self, RouteRef},
};

/// The way into the public listener.
pub(crate) struct Admitted {
    pub(crate) api: web::Data<Api>,
    pub(crate) config: web::Data<Config>,
}

impl Entry for Admitted {
    fn route(&self, request: &ServiceRequest) -> Option<RouteRef> {
        let route = routes::find(request.method(), request.match_info().as_str());
        // Where there is no sandbox, its paths must not ride on its priority.
        Some(if route.is_of_sandbox && self.api.sandbox.is_none() { routes::UNKNOWN } else { route })
    }

    async fn pass<S>(
        &self,
        mut request: ServiceRequest,
        service: &S,
        passage: &mut Passage,
    ) -> Result<ServiceResponse, Error>
    where
        S: Service<ServiceRequest, Response = ServiceResponse, Error = Error>,
    {
        // A browser asks whether it may ask: nobody's request yet.
        let Some(route) = passage.route.filter(|_| !is_preflight(&request)) else { return service.call(request).await };
        let refused = match self.admit(&request, &route, passage).await {
            Ok(auth) => {
                if !request.query_string().is_empty()
                    && route.takes_no_query
                    // Who has a bad token hears of that first.
                    && !matches!(auth, Auth::Denied(_))
                    && let Err(problem) = Query::of(request.request(), &[])
                {
                    return Ok(request.error_response(problem));
                }
                // Nobody else's body matters: they are told to sign in.
                let is_heard = matches!(auth, Auth::Verified(_)) || route.class == Class::SignIn;
                if !matches!(auth, Auth::Missing) {
                    request.extensions_mut().insert(auth);
                }
                let rest = if is_heard { body::arrive(&mut request).await } else { None };
                match rest {
                    Some(rest) => {
                        passage.permit = None;
                        rest.wait(&request).await;
                        let now = Nanos::since_start_of(&self.api.started);
                        self.enter(&request, &route, passage, now).err()
                    }
                    None => None,
                }
            }
            Err(refused) => Some(refused),
        };
        let Some(refused) = refused else { return service.call(request).await };
        discard(request.take_payload()).await;
        Ok(request.into_response(refused))
    }
}

impl Admitted {
    /// The checks in their order; what a later one refuses, an earlier one has taken, but for the place, which is given
    /// back.
    async fn admit(
        &self,
        request: &ServiceRequest,
        route: &RouteRef,
        passage: &mut Passage,
    ) -> Result<Auth, HttpResponse> {
        let api = &**self.api;
        let address = address::of(request.request(), &self.config);
        let first = api.admission.check_address(address, route.class, passage.now);
        if let Some(decision) = passage.spoken.refused(first) {
            return Err(refusal::over_quota(decision, request.path(), &api.entropy));
        }
        self.enter(request, route, passage, passage.now)?;
        let auth = authenticate(request.headers(), api);
        let (passenger, device) = match &auth {
            Auth::Verified(access) => (Some(access.passenger_id.value()), access.device_id.as_deref()),
            Auth::Missing | Auth::Denied(_) => (None, None),
        };
        let caller = Caller { address, passenger, device };
        let second = api.admission.check_caller(caller, route.class, passage.now).await;
        if let Some(decision) = passage.spoken.refused(second) {
            passage.permit = None;
            return Err(refusal::over_quota(decision, request.path(), &api.entropy));
        }
        Ok(auth)
    }

    /// Takes a place among the work in progress. What plays a partner is none of it.
    fn enter(
        &self,
        request: &ServiceRequest,
        route: &RouteRef,
        passage: &mut Passage,
        now: Nanos,
    ) -> Result<(), HttpResponse> {
        if route.is_of_sandbox {
            return Ok(());
        }
        match self.api.admission.gate().enter(route.priority, now) {
            Ok(permit) => {
                passage.permit = Some(permit);
                Ok(())
            }
            Err(shed) => Err(refusal::shed(&shed, request.path(), &self.api.entropy)),
        }
    }
}

/// A CORS preflight (Fetch standard).
fn is_preflight(request: &ServiceRequest) -> bool {
    let headers = request.headers();
    request.method() == Method::OPTIONS
        && headers.contains_key(ORIGIN)
        && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
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
