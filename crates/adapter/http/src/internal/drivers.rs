//! What dispatch tells us: drivers' steps and positions.

use actix_web::{HttpRequest, HttpResponse, web};
use entity::{
    Ride,
    value::{DriverId, Id},
};
use usecase::rides::{
    drive_ride::{Command, Step},
    end_ride::{self, End},
};

use crate::{
    Api,
    dto::{
        PointBody, date,
        internal::{AcceptBody, InternalCancelBody, LocationBody, StartBody, StepBody},
        ride::{RideView, RidesView},
    },
    extract::{JsonBody, PathDriver, PathId, Query, text},
    problem::{Answer, Problem},
    public::rides::location as position_of,
};

pub(super) async fn accept(api: web::Data<Api>, id: PathId<Ride>, body: JsonBody<AcceptBody>) -> Answer {
    let (driver, pickup_eta_s) = body.0.check()?;
    step(&api, id.0, driver.id.clone(), Step::Accept { driver, pickup_eta_s }).await
}

pub(super) async fn arrive(api: web::Data<Api>, id: PathId<Ride>, body: JsonBody<StepBody>) -> Answer {
    step(&api, id.0, body.0.check()?, Step::Arrive).await
}

pub(super) async fn start(api: web::Data<Api>, id: PathId<Ride>, body: JsonBody<StartBody>) -> Answer {
    let (driver_id, pickup_code) = body.0.check()?;
    step(&api, id.0, driver_id, Step::Start { pickup_code }).await
}

pub(super) async fn complete(api: web::Data<Api>, id: PathId<Ride>, body: JsonBody<StepBody>) -> Answer {
    step(&api, id.0, body.0.check()?, Step::Complete).await
}

pub(super) async fn release(api: web::Data<Api>, id: PathId<Ride>, body: JsonBody<StepBody>) -> Answer {
    step(&api, id.0, body.0.check()?, Step::Release).await
}

async fn step(api: &Api, ride_id: Id<Ride>, driver_id: DriverId, step: Step) -> Answer {
    let ride = api.drive_ride.run(Command { ride_id, driver_id, step }, api.clock.now()).await?;
    Ok(HttpResponse::Ok().json(RideView::for_driver(&ride, position_of(api, &ride))))
}

pub(super) async fn cancel(api: web::Data<Api>, id: PathId<Ride>, body: JsonBody<InternalCancelBody>) -> Answer {
    text("reason", &body.0.reason, 200)?;
    let reason = body.0.reason;
    let end = match body.0.by.as_str() {
        "driver" => End::CancelledByDriver { reason },
        "system" => End::CancelledBySystem { reason },
        _ => return Err(Problem::invalid_field("by", "driver, system")),
    };
    let ride = api.end_ride.run(end_ride::Command { ride_id: id.0, end }, api.clock.now()).await?;
    Ok(HttpResponse::Ok().json(RideView::for_driver(&ride, None)))
}

pub(super) async fn location(api: web::Data<Api>, id: PathDriver, body: JsonBody<LocationBody>) -> Answer {
    let at = PointBody { lat: body.0.lat, lng: body.0.lng }.check("")?;
    let observed_at = date("observed_at", &body.0.observed_at)?;
    api.report_location.run(&id.0, at, observed_at, api.clock.now());
    Ok(HttpResponse::NoContent().finish())
}

pub(super) async fn rides(api: web::Data<Api>, id: PathDriver, request: HttpRequest) -> Answer {
    let query = Query::of(&request, &["limit", "cursor"])?;
    let page = api.driver_history.run(&id.0, query.cursor()?, query.limit()?).await?;
    let rides = page.rides.iter().map(|ride| RideView::for_driver(ride, position_of(&api, ride))).collect();
    let next_cursor = page.next.map(|id| id.to_string());
    Ok(HttpResponse::Ok().json(RidesView { rides, next_cursor }))
}
