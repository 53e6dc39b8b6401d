//! `/sandbox/*`: drives the simulated partners; only where configured, never in `production`.

use std::sync::Arc;

use actix_web::{HttpResponse, http::Method, web};
use entity::{Passenger, Ride, RideStatus, value::Phone};
use serde::Deserialize;
use usecase::port::{FaultScript, FleetSettings, PartnerName, SandboxControl};

use crate::{
    Api,
    extract::{JsonBody, PathId},
    problem::{Answer, Problem},
    routes::served,
};

/// Registers the routes.
pub(crate) fn configure(app: &mut web::ServiceConfig) {
    app.service(served("/sandbox/sms/{phone}", [(Method::GET, web::to(last_code))]))
        .service(served("/sandbox/fleet", [(Method::PUT, web::to(set_fleet))]))
        .service(served("/sandbox/rides/{id}", [(Method::PUT, web::to(force))]))
        .service(served("/sandbox/partners/{name}", [(Method::PUT, web::to(set_faults))]))
        .service(served("/sandbox/payment/{id}", [(Method::PUT, web::to(set_decline))]));
    #[cfg(debug_assertions)]
    app.service(served("/sandbox/clock", [(Method::PUT, web::to(set_clock))]));
}

fn control(api: &Api) -> Result<Arc<dyn SandboxControl>, Problem> {
    api.sandbox.clone().ok_or_else(Problem::not_found)
}

/// The last code sent to a phone. The one URL that may hold a phone; it is not logged.
async fn last_code(api: web::Data<Api>, phone: web::Path<String>) -> Answer {
    let code = Phone::parse(&phone).ok().and_then(|phone| control(&api).ok()?.last_code(&phone));
    let code = code.ok_or_else(Problem::not_found)?;
    Ok(HttpResponse::Ok().json(serde_json::json!({ "code": code })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FleetBody {
    drivers: Option<u32>,
    time_scale: Option<f64>,
    accept_probability: Option<f64>,
}

/// Replaces what is given of the fleet's settings.
async fn set_fleet(api: web::Data<Api>, body: JsonBody<FleetBody>) -> Answer {
    let control = control(&api)?;
    let now = control.fleet();
    let settings = FleetSettings {
        drivers: body.0.drivers.unwrap_or(now.drivers),
        time_scale: body.0.time_scale.unwrap_or(now.time_scale),
        accept_probability: body.0.accept_probability.unwrap_or(now.accept_probability),
    };
    control.set_fleet(settings).map_err(|invalid| Problem::invalid_field(invalid.key, invalid.allowed))?;
    Ok(HttpResponse::NoContent().finish())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ForceBody {
    status: RideStatus,
}

/// Forces a legal step.
async fn force(api: web::Data<Api>, id: PathId<Ride>, body: JsonBody<ForceBody>) -> Answer {
    control(&api)?.force(id.0, body.0.status, api.clock.now()).await?;
    Ok(HttpResponse::NoContent().finish())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FaultBody {
    #[serde(default)]
    failure_rate: f64,
    #[serde(default)]
    delay_ms: u32,
}

/// Scripts the failures of a partner.
async fn set_faults(api: web::Data<Api>, name: web::Path<String>, body: JsonBody<FaultBody>) -> Answer {
    let partner = match name.as_str() {
        "sms" => PartnerName::Sms,
        "routing" => PartnerName::Routing,
        "dispatch" => PartnerName::Dispatch,
        "payment" => PartnerName::Payment,
        _ => return Err(Problem::not_found()),
    };
    if !(0.0..=1.0).contains(&body.0.failure_rate) {
        return Err(Problem::invalid_field("failure_rate", "0 to 1"));
    }
    if body.0.delay_ms > 60_000 {
        return Err(Problem::invalid_field("delay_ms", "0 to 60000 (milliseconds)"));
    }
    let script = FaultScript { failure_rate: body.0.failure_rate, delay_ms: body.0.delay_ms };
    control(&api)?.set_faults(partner, script);
    Ok(HttpResponse::NoContent().finish())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DeclineBody {
    decline: bool,
}

/// Makes the bank decline, or again accept, a passenger.
async fn set_decline(api: web::Data<Api>, id: PathId<Passenger>, body: JsonBody<DeclineBody>) -> Answer {
    control(&api)?.set_decline(id.0, body.0.decline);
    Ok(HttpResponse::NoContent().finish())
}

#[cfg(debug_assertions)]
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClockBody {
    offset_ms: i64,
}

/// Moves this process's clock away from the machine's, for tests; a release build has no such route.
#[cfg(debug_assertions)]
async fn set_clock(api: web::Data<Api>, body: JsonBody<ClockBody>) -> Result<HttpResponse, Problem> {
    const YEAR_MS: i64 = 365 * 24 * 3600 * 1000;
    if !(-YEAR_MS..=YEAR_MS).contains(&body.0.offset_ms) {
        return Err(Problem::invalid_field("offset_ms", "at most a year either way"));
    }
    api.clock.set_offset_ms(body.0.offset_ms);
    Ok(HttpResponse::NoContent().finish())
}
