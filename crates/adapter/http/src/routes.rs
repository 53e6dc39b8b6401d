//! The whole public URL table: one line a route, with its class and priority (0 is served longest).

use std::future::ready;

use actix_web::{
    Error, HttpMessage, HttpResponse,
    body::BoxBody,
    dev::{HttpServiceFactory, ServiceRequest, ServiceResponse},
    http::{
        Method,
        header::{ALLOW, HeaderValue},
    },
    middleware::{Next, from_fn},
    web,
};
use serde::Serialize;
use traffic::{Class, Priority};
use utoipa::OpenApi;

use crate::{
    extract::{Auth, Query},
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
            $(app.service(resource($path, [$((Method::$method, web::to($module::$handler))),+]));)*
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
const READ_QUERY: &[(Method, &str)] = &[
    (Method::GET, "/v1/products"),
    (Method::GET, "/v1/rides"),
    (Method::GET, "/internal/v1/drivers/{id}/rides"),
    (Method::GET, "/internal/v1/outbox/dead"),
    (Method::GET, "/internal/v1/traffic"),
];

/// A path and its methods; any other method is told which there are.
pub(crate) fn resource<const N: usize>(
    path: &'static str,
    methods: [(Method, actix_web::Route); N],
) -> impl HttpServiceFactory + 'static {
    let names = methods.each_ref().map(|(method, _)| method.clone());
    let allowed = names.each_ref().map(Method::as_str).join(", ");
    let resource = web::resource(path).default_service(web::to(move || ready(other_method(&allowed))));
    let resource = methods.into_iter().fold(resource, |resource, (method, route)| resource.route(route.method(method)));
    let is_of_api = ["/v1/", "/internal/", "/sandbox/"].iter().any(|start| path.starts_with(start));
    let takes_none =
        move |method: &Method| is_of_api && names.contains(method) && !READ_QUERY.contains(&(method.clone(), path));
    resource.wrap(from_fn(move |request: ServiceRequest, next| {
        let is_stranger = !request.query_string().is_empty() && takes_none(request.method());
        without_unknown_query(is_stranger, request, next)
    }))
}

/// Refuses a query string where none is read; pages and health checks do not mind one. Who has a bad token hears of
/// that first.
async fn without_unknown_query(
    has_one: bool,
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let is_denied = || matches!(request.extensions().get::<Auth>(), Some(Auth::Denied(_)));
    if has_one
        && !is_denied()
        && let Err(problem) = Query::of(request.request(), &[])
    {
        return Ok(request.error_response(problem));
    }
    next.call(request).await
}

fn other_method(allowed: &str) -> HttpResponse {
    let problem = Problem::new(Code::MethodNotAllowed, format!("Allowed here: {allowed}."));
    let mut response = HttpResponse::from_error(problem);
    if let Ok(value) = HeaderValue::from_str(allowed) {
        response.headers_mut().insert(ALLOW, value);
    }
    response
}
