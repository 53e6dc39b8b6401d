//! The internal listener: the drivers' side, operators, health, metrics.

mod drivers;
mod health;
mod operators;

use actix_web::{
    Error,
    body::BoxBody,
    dev::{ServiceRequest, ServiceResponse},
    http::{Method, header::AUTHORIZATION},
    middleware::Next,
    web,
};
use subtle::ConstantTimeEq;

use crate::{
    Config,
    edge::admission::bearer,
    extract::{Unclear, single},
    problem::{Code, Problem},
    routes::resource,
};

macro_rules! internal_routes {
    ($($method:ident $path:literal $module:ident :: $handler:ident;)*) => {
        /// Registers every internal route.
        pub(crate) fn configure(app: &mut web::ServiceConfig) {
            $(app.service(resource($path, [(Method::$method, web::to($module::$handler))]));)*
        }
    };
}

internal_routes! {
    GET    "/health/live"                               health::live;
    GET    "/health/ready"                              health::ready;
    GET    "/metrics"                                   health::metrics;
    GET    "/debug/tasks"                               health::tasks;
    POST   "/internal/v1/rides/{id}/accept"             drivers::accept;
    POST   "/internal/v1/rides/{id}/arrive"             drivers::arrive;
    POST   "/internal/v1/rides/{id}/start"              drivers::start;
    POST   "/internal/v1/rides/{id}/complete"           drivers::complete;
    POST   "/internal/v1/rides/{id}/release"            drivers::release;
    POST   "/internal/v1/rides/{id}/cancel"             drivers::cancel;
    PUT    "/internal/v1/drivers/{id}/location"         drivers::location;
    GET    "/internal/v1/drivers/{id}/rides"            drivers::rides;
    POST   "/internal/v1/passengers/find"               operators::find_passenger;
    DELETE "/internal/v1/passengers/{id}/sessions"      operators::revoke_sessions;
    GET    "/internal/v1/outbox/dead"                   operators::dead_letters;
    POST   "/internal/v1/outbox/dead/{id}/requeue"      operators::requeue;
    GET    "/internal/v1/traffic/routes"                operators::routes;
}

/// Lets only holders of the service token in; health is open.
///
/// # Errors
/// What the handler's service answers as an error.
pub(crate) async fn authenticate(
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    if request.path().starts_with("/health/") {
        return next.call(request).await;
    }
    let expected = request.app_data::<web::Data<Config>>().map_or("", |config| config.internal_token.reveal());
    let problem = match single(request.headers(), AUTHORIZATION) {
        Ok(None) => Problem::new(Code::TokenMissing, "Send the service token as Authorization: Bearer."),
        // An empty token lets nobody in: the composition root refuses to start with one anyway.
        Ok(Some(header))
            if bearer(header).is_some_and(|token| {
                !expected.is_empty() && bool::from(token.as_bytes().ct_eq(expected.as_bytes()))
            }) =>
        {
            return next.call(request).await;
        }
        Ok(Some(_)) | Err(Unclear) => Problem::new(Code::TokenInvalid, "This is not the service token."),
    };
    Ok(request.error_response(problem))
}
