//! `/v1/rides`.

use actix_web::{HttpRequest, HttpResponse, web};
use entity::Ride;
use usecase::rides::{
    cancel_ride,
    request_ride::{Command, Requested},
};

use crate::{
    Api,
    dto::ride::{CancelBody, LocationView, RideBody, RideView, RidesView},
    extract::{Caller, CallerAnd, IdempotencyKey, JsonBody, PathId, Query, if_match, if_none_match},
    openapi::Problems,
    problem::{Answer, Problem},
};

/// Requests a ride with a quote; once per idempotency key, however often it is sent.
#[utoipa::path(post, path = "/v1/rides", operation_id = "request_ride", tag = "rides", security(("bearer" = [])), request_body = RideBody,
    params(("Idempotency-Key" = String, Header, min_length = 1, max_length = 255, pattern = "^[ -~]+$",
        description = "1 to 255 characters, quoted or bare; kept 24 h")),
    responses((status = 201, description = "The ride", body = RideView, headers(
        ("Location" = String, description = "Of the ride"), ("ETag" = String, description = "Its version"),
        ("Idempotency-Replayed" = String, description = "`true` when the answer is repeated"))), Problems))]
pub(crate) async fn request(
    api: web::Data<Api>,
    CallerAnd(caller, (key, body)): CallerAnd<(IdempotencyKey, JsonBody<RideBody>)>,
) -> Answer {
    let RideBody { quote_id, product } = body.0;
    let command = Command {
        passenger_id: caller.passenger_id,
        key: key.0,
        // One that cannot be an id is looked up as one that nobody has: the order of refusals stays.
        quote_id: quote_id.parse().or_else(|_| "0".parse()).map_err(|_| Problem::not_found())?,
        product,
        render,
    };
    let mut response = HttpResponse::Created();
    let answer = match api.request_ride.run(command, api.clock.now()).await? {
        Requested::Opened(answer) => answer,
        Requested::Replayed(answer) => {
            response.insert_header(("Idempotency-Replayed", "true"));
            answer
        }
    };
    response.insert_header(("Location", format!("/v1/rides/{}", answer.ride_id))).insert_header(etag(answer.version));
    Ok(response.content_type("application/json").body(answer.body))
}

/// The body of the answer to a request: kept for replays.
fn render(ride: &Ride) -> String {
    serde_json::to_string(&RideView::new(ride, None)).unwrap_or_default()
}

/// The active ride, or 204.
#[utoipa::path(get, path = "/v1/rides/current", operation_id = "current_ride", tag = "rides", security(("bearer" = [])),
    responses((status = 200, description = "The active ride", body = RideView,
            headers(("ETag" = String, description = "Its version"))),
        (status = 204, description = "There is none"), Problems))]
pub(crate) async fn current(api: web::Data<Api>, caller: Caller) -> Answer {
    let shard = api.shards.read(caller.passenger_id.shard());
    match Ride::find_active(shard, caller.passenger_id).await? {
        Some(ride) => Ok(live(&api, &ride)),
        None => Ok(HttpResponse::NoContent().finish()),
    }
}

/// One ride.
#[utoipa::path(get, path = "/v1/rides/{id}", operation_id = "show_ride", tag = "rides", security(("bearer" = [])),
    params(("id" = String, Path, description = "The ride"),
        ("If-None-Match" = Option<String>, Header, nullable = false, description = "A version that the client has")),
    responses((status = 200, description = "The ride", body = RideView,
            headers(("ETag" = String, description = "Its version"))),
        (status = 304, description = "The client has this version"), Problems))]
pub(crate) async fn show(
    api: web::Data<Api>,
    CallerAnd(caller, id): CallerAnd<PathId<Ride>>,
    request: HttpRequest,
) -> Answer {
    let shard = api.shards.read(caller.passenger_id.shard());
    let ride = Ride::find_owned(shard, caller.passenger_id, id.0).await?.ok_or_else(Problem::not_found)?;
    if if_none_match(&request, ride.version) {
        return Ok(HttpResponse::NotModified().insert_header(etag(ride.version)).finish());
    }
    Ok(live(&api, &ride))
}

/// History, newest first.
#[utoipa::path(get, path = "/v1/rides", operation_id = "list_rides", tag = "rides", security(("bearer" = [])),
    params(("limit" = Option<u8>, Query, description = "1 to 100, by default 20", minimum = 1, maximum = 100),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before")),
    responses((status = 200, description = "A page", body = RidesView), Problems))]
pub(crate) async fn list(api: web::Data<Api>, caller: Caller, request: HttpRequest) -> Answer {
    let query = Query::of(&request, &["limit", "cursor"])?;
    let (limit, before) = (query.limit()?, query.cursor()?);
    let shard = api.shards.read(caller.passenger_id.shard());
    let mut rides = Ride::page_owned(shard, caller.passenger_id, before, limit + 1).await?;
    let more = rides.len() as u64 > limit;
    rides.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    let next_cursor = rides.last().filter(|_| more).map(|ride| ride.id.to_string());
    let rides = rides.iter().map(|ride| RideView::new(ride, location(&api, ride))).collect();
    Ok(HttpResponse::Ok().json(RidesView { rides, next_cursor }))
}

/// Calls a ride off; a fee must be confirmed with the token that the 409 gives.
#[utoipa::path(post, path = "/v1/rides/{id}/cancel", operation_id = "cancel_ride", tag = "rides", security(("bearer" = [])),
    request_body = CancelBody,
    params(("id" = String, Path, description = "The ride"),
        ("If-Match" = Option<String>, Header, nullable = false, description = "The version that must still be the newest")),
    responses((status = 200, description = "The cancelled ride", body = RideView,
        headers(("ETag" = String, description = "Its version"))), Problems))]
pub(crate) async fn cancel(
    api: web::Data<Api>,
    CallerAnd(caller, (id, body)): CallerAnd<(PathId<Ride>, JsonBody<CancelBody>)>,
    request: HttpRequest,
) -> Answer {
    body.0.check()?;
    let command = cancel_ride::Command {
        passenger_id: caller.passenger_id,
        ride_id: id.0,
        reason: body.0.reason,
        confirmation_token: body.0.confirmation_token,
        if_match: if_match(&request),
    };
    let ride = api.cancel_ride.run(command, api.clock.now()).await?;
    Ok(live(&api, &ride))
}

/// A ride as it is now, with its driver's position.
fn live(api: &Api, ride: &Ride) -> HttpResponse {
    HttpResponse::Ok().insert_header(etag(ride.version)).json(RideView::new(ride, location(api, ride)))
}

pub(crate) fn location(api: &Api, ride: &Ride) -> Option<LocationView> {
    let driver = ride.driver.as_ref().filter(|_| !ride.status.is_terminal())?;
    api.positions.last(&driver.id).map(|position| LocationView::new(position, api.clock.now()))
}

fn etag(version: i32) -> (&'static str, String) {
    ("ETag", format!("\"{version}\""))
}
