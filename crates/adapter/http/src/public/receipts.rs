//! What comes after a ride.

use actix_web::{HttpResponse, web};
use entity::Ride;

use crate::{
    Api,
    dto::{
        quote::ReceiptView,
        ride::{RatingBody, RatingView},
    },
    extract::{CallerAnd, JsonBody, PathId},
    openapi::Problems,
    problem::Answer,
};

/// What the ride cost, once it is over.
#[utoipa::path(get, path = "/v1/rides/{id}/receipt", operation_id = "show_receipt", tag = "rides", security(("bearer" = [])),
    params(("id" = String, Path, description = "The ride")),
    responses((status = 200, description = "The receipt", body = ReceiptView), Problems))]
pub(crate) async fn show(api: web::Data<Api>, CallerAnd(caller, id): CallerAnd<PathId<Ride>>) -> Answer {
    let receipt = api.read_receipt.run(caller.passenger_id, id.0).await?;
    Ok(HttpResponse::Ok().json(ReceiptView::new(id.0.to_string(), &receipt)))
}

/// Rates a completed ride, once.
#[utoipa::path(post, path = "/v1/rides/{id}/rating", operation_id = "rate_ride", tag = "rides", security(("bearer" = [])),
    request_body = RatingBody, params(("id" = String, Path, description = "The ride")),
    responses((status = 201, description = "The rating", body = RatingView), Problems))]
pub(crate) async fn rate(
    api: web::Data<Api>,
    CallerAnd(caller, (id, body)): CallerAnd<(PathId<Ride>, JsonBody<RatingBody>)>,
) -> Answer {
    let rating = body.0.check(api.clock.now())?;
    api.rate_ride.run(caller.passenger_id, id.0, rating.clone()).await?;
    Ok(HttpResponse::Created().json(RatingView {
        ride_id: id.0.to_string(),
        stars: rating.stars,
        tags: rating.tags,
        comment: rating.comment,
    }))
}
