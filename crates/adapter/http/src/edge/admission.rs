//! Admission control, cheapest refusal first: the address, a place among the work in progress, the token, the passenger.
//! A refusal touches no database and waits for no body.

use actix_web::{
    Error, HttpMessage,
    dev::{Service, ServiceRequest, ServiceResponse},
    http::{
        Method,
        header::{ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION, HeaderMap, ORIGIN},
    },
    web,
};
use traffic::{Caller, Class, Nanos, Shed};
use usecase::auth::access;

use super::{
    address,
    around::{Entry, Passage},
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
        let auth = match self.admit(&request, &route, passage).await {
            Ok(auth) => auth,
            Err(refused) => return Ok(self.refuse(request, &refused, passage)),
        };
        if !request.query_string().is_empty()
            && route.takes_no_query
            // Who has a bad token hears of that first.
            && !matches!(auth, Auth::Denied(_))
            && let Err(problem) = Query::of(request.request(), &[])
        {
            return Ok(request.error_response(problem));
        }
        match self.hear(&mut request, &route, auth, passage).await {
            Ok(()) => service.call(request).await,
            Err(refused) => Ok(self.refuse(request, &refused, passage)),
        }
    }
}

/// Why a request is not let in.
enum Refused {
    /// The decision that was made last says why.
    OverQuota,
    /// There is too much work in progress.
    NoPlace(Shed),
}

impl Admitted {
    /// The checks in their order; what a later one refuses, an earlier one has taken, but for the place, which is given
    /// back.
    async fn admit(&self, request: &ServiceRequest, route: &RouteRef, passage: &mut Passage) -> Result<Auth, Refused> {
        let api = &**self.api;
        let address = address::of(request.request(), &self.config);
        let first = api.admission.check_address(address, route.class, passage.now);
        if !passage.spoken.admits(first) {
            return Err(Refused::OverQuota);
        }
        self.enter(route, passage, passage.now)?;
        let auth = authenticate(request.headers(), api);
        let (passenger, device) = match &auth {
            Auth::Verified(access) => (Some(access.passenger_id.value()), access.device_id.as_deref()),
            Auth::Missing | Auth::Denied(_) => (None, None),
        };
        // Whoever shows no good token is nobody, wherever they knock: they spend what is open to everybody, and nothing of
        // what passengers share.
        let is_open = passenger.is_some() || route.class == Class::SignIn;
        let class = if is_open { route.class } else { Class::Catalogue };
        let caller = Caller { address, passenger, device };
        let second = api.admission.check_caller(caller, class, passage.now).await;
        if !passage.spoken.admits(second) {
            passage.permit = None;
            return Err(Refused::OverQuota);
        }
        Ok(auth)
    }

    /// Takes a place among the work in progress. What plays a partner is none of it.
    fn enter(&self, route: &RouteRef, passage: &mut Passage, now: Nanos) -> Result<(), Refused> {
        if route.is_of_sandbox {
            return Ok(());
        }
        let permit = self.api.admission.gate().enter(route.priority, now).map_err(Refused::NoPlace)?;
        passage.permit = Some(permit);
        Ok(())
    }

    /// Hands the token on and has the body read, if anybody will look at it. Whoever sends a body slowly has no place
    /// meanwhile, and needs another one then.
    async fn hear(
        &self,
        request: &mut ServiceRequest,
        route: &RouteRef,
        auth: Auth,
        passage: &mut Passage,
    ) -> Result<(), Refused> {
        // Nobody else's body matters: they are told to sign in.
        let is_heard = matches!(auth, Auth::Verified(_)) || route.class == Class::SignIn;
        if !matches!(auth, Auth::Missing) {
            request.extensions_mut().insert(auth);
        }
        if !is_heard {
            return Ok(());
        }
        let Some(rest) = body::arrive(request).await else { return Ok(()) };
        passage.permit = None;
        rest.wait(request).await;
        self.enter(route, passage, Nanos::since_start_of(&self.api.started))
    }

    fn refuse(&self, request: ServiceRequest, refused: &Refused, passage: &Passage) -> ServiceResponse {
        let (path, entropy) = (request.path(), &self.api.entropy);
        let answer = match refused {
            Refused::OverQuota => refusal::over_quota(passage.spoken.last(), path, entropy),
            Refused::NoPlace(shed) => refusal::shed(shed, path, entropy),
        };
        request.into_response(answer)
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
