//! The whole public URL table: one line a route, with its class and priority (0 is served longest).

mod find;

use std::future::ready;

use actix_web::{
    Error, HttpResponse, Resource,
    body::BoxBody,
    dev::{HttpServiceFactory, ServiceRequest, ServiceResponse},
    http::{
        Method,
        header::{ALLOW, HeaderValue},
    },
    middleware::{Next, from_fn},
    web,
};
pub use find::{COUNT, RouteRef, UNKNOWN, find};
use serde::Serialize;
use traffic::{Class, Priority};
use utoipa::OpenApi;

use crate::{
    extract::Query,
    problem::{Code, Problem},
    public::{auth, events, me, products, quotes, receipts, rides},
};

/// One route.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Route {
    /// The method.
    pub method: &'static str,
    /// The path with its parameters.
    pub path: &'static str,
    /// The kind of request.
    pub class: Class,
    /// What is served longest when there is too much.
    pub priority: Priority,
}

macro_rules! routes {
    ($($path:literal { $($method:ident $module:ident :: $handler:ident $class:ident $priority:literal);+ })*) => {
        /// Every public route.
        pub const TABLE: &[Route] = &[$($(
            Route { method: stringify!($method), path: $path, class: Class::$class, priority: Priority::new($priority) },
        )+)*];

        /// Registers every public route.
        pub(crate) fn configure(app: &mut web::ServiceConfig) {
            $(app.service(served($path, [$((Method::$method, web::to($module::$handler))),+]));)*
        }

        #[derive(OpenApi)]
        #[openapi(paths($($($module::$handler),+),*))]
        pub(crate) struct Paths;
    };
}

routes! {
    "/v1/auth/otp"            { POST auth::request_code SignIn 2 }
    "/v1/auth/token"          { POST auth::sign_in SignIn 2 }
    "/v1/auth/refresh"        { POST auth::refresh SignIn 0 }
    "/v1/auth/logout"         { POST auth::sign_out SignIn 2 }
    "/v1/me"                  { GET me::show Profile 3; PATCH me::patch Profile 3; DELETE me::delete Profile 3 }
    "/v1/products"            { GET products::list Catalogue 4 }
    "/v1/ride-states"         { GET products::ride_states Catalogue 4 }
    "/v1/quotes"              { POST quotes::create Quote 2 }
    "/v1/quotes/{id}"         { GET quotes::show Quote 2 }
    "/v1/rides"               { POST rides::request Request 1; GET rides::list History 3 }
    "/v1/rides/current"       { GET rides::current Ride 0 }
    "/v1/rides/{id}"          { GET rides::show Ride 0 }
    "/v1/rides/{id}/events"   { GET events::follow Ride 0 }
    "/v1/rides/{id}/cancel"   { POST rides::cancel Ride 0 }
    "/v1/rides/{id}/receipt"  { GET receipts::show History 3 }
    "/v1/rides/{id}/rating"   { POST receipts::rate History 3 }
}

/// What reads a query string, and itself refuses what it does not know. No other route of the API has one.
const READ_QUERY: &[(&str, &str)] = &[
    ("GET", "/v1/products"),
    ("GET", "/v1/rides"),
    ("GET", "/internal/v1/drivers/{id}/rides"),
    ("GET", "/internal/v1/outbox/dead"),
    ("POST", "/internal/v1/consistency/rides/{id}/repair"),
    ("GET", "/internal/v1/consistency/drivers/{id}"),
    ("POST", "/internal/v1/consistency/drivers/{id}/repair"),
    ("GET", "/internal/v1/consistency/scans/{id}"),
    ("POST", "/internal/v1/consistency/scans/{id}/repair"),
    ("GET", "/internal/v1/traffic"),
];

/// Whether a path belongs to an API, and is no page for people.
const fn is_of_api(path: &str) -> bool {
    find::starts_with(path, "/v1/") || find::starts_with(path, "/internal/") || find::starts_with(path, "/sandbox/")
}

/// A path and its methods; any other method is told which there are.
pub(crate) fn served<const N: usize>(path: &'static str, methods: [(Method, actix_web::Route); N]) -> Resource {
    let allowed = methods.each_ref().map(|(method, _)| method.as_str()).join(", ");
    let resource = web::resource(path).default_service(web::to(move || ready(other_method(&allowed))));
    methods.into_iter().fold(resource, |resource, (method, route)| resource.route(route.method(method)))
}

/// The same for a listener that does not ask [`find`]: a query string is refused where none is read.
pub(crate) fn resource<const N: usize>(
    path: &'static str,
    methods: [(Method, actix_web::Route); N],
) -> impl HttpServiceFactory + 'static {
    let names = methods.each_ref().map(|(method, _)| method.clone());
    let reads = |method: &Method| READ_QUERY.contains(&(method.as_str(), path));
    let takes_none = move |method: &Method| is_of_api(path) && names.contains(method) && !reads(method);
    served(path, methods).wrap(from_fn(move |request: ServiceRequest, next| {
        let is_stranger = !request.query_string().is_empty() && takes_none(request.method());
        without_unknown_query(is_stranger, request, next)
    }))
}

async fn without_unknown_query(
    has_one: bool,
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    match Query::of(request.request(), &[]) {
        Err(problem) if has_one => Ok(request.error_response(problem)),
        _ => next.call(request).await,
    }
}

fn other_method(allowed: &str) -> HttpResponse {
    let problem = Problem::new(Code::MethodNotAllowed, format!("Allowed here: {allowed}."));
    let mut response = HttpResponse::from_error(problem);
    if let Ok(value) = HeaderValue::from_str(allowed) {
        response.headers_mut().insert(ALLOW, value);
    }
    response
}
