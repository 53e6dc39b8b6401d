//! The internal listener: the drivers' side, operators, health, metrics.

mod consistency;
mod drivers;
mod health;
mod limits;
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
    ($($path:literal { $($method:ident $module:ident :: $handler:ident);+ })*) => {
        /// Registers every internal route.
        pub(crate) fn configure(app: &mut web::ServiceConfig) {
            $(app.service(resource($path, [$((Method::$method, web::to($module::$handler))),+]));)*
        }
    };
}

internal_routes! {
    "/health/live"                            { GET health::live }
    "/health/ready"                           { GET health::ready }
    "/metrics"                                { GET health::metrics }
    "/debug/tasks"                            { GET health::tasks }
    "/internal/v1/rides/{id}/accept"          { POST drivers::accept }
    "/internal/v1/rides/{id}/arrive"          { POST drivers::arrive }
    "/internal/v1/rides/{id}/start"           { POST drivers::start }
    "/internal/v1/rides/{id}/complete"        { POST drivers::complete }
    "/internal/v1/rides/{id}/release"         { POST drivers::release }
    "/internal/v1/rides/{id}/cancel"          { POST drivers::cancel }
    "/internal/v1/drivers/{id}/location"      { PUT drivers::location }
    "/internal/v1/drivers/{id}/rides"         { GET drivers::rides }
    "/internal/v1/passengers/find"            { POST operators::find_passenger }
    "/internal/v1/passengers/{id}/sessions"   { DELETE operators::revoke_sessions }
    "/internal/v1/outbox/dead"                { GET operators::dead_letters }
    "/internal/v1/outbox/dead/{id}/requeue"   { POST operators::requeue }
    "/internal/v1/consistency/rides/{id}"            { GET consistency::ride }
    "/internal/v1/consistency/rides/{id}/repair"     { POST consistency::repair_ride }
    "/internal/v1/consistency/drivers/{id}"          { GET consistency::driver }
    "/internal/v1/consistency/drivers/{id}/repair"   { POST consistency::repair_driver }
    "/internal/v1/consistency/scans"                 { POST consistency::begin_scan }
    "/internal/v1/consistency/scans/{id}"            { GET consistency::scan }
    "/internal/v1/consistency/scans/{id}/repair"     { POST consistency::repair_scan }
    "/internal/v1/traffic"                    { GET limits::show }
    "/internal/v1/traffic/policies"           { GET limits::policies; PUT limits::replace }
    "/internal/v1/traffic/reload"             { POST limits::reload }
    "/internal/v1/traffic/routes"             { GET limits::routes }
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
            if let Some(api) = request.app_data::<web::Data<crate::Api>>() {
                api.shards.keep_up().await;
            }
            return next.call(request).await;
        }
        Ok(Some(_)) | Err(Unclear) => Problem::new(Code::TokenInvalid, "This is not the service token."),
    };
    Ok(request.error_response(problem))
}
