//! `/v1/quotes`.

use actix_web::{HttpResponse, web};
use entity::Quote;

use crate::{
    Api,
    dto::quote::{QuoteBody, QuoteView},
    extract::{CallerAnd, JsonBody, PathId},
    openapi::Problems,
    problem::{Answer, Problem},
};

/// Prices a trip with every product.
#[utoipa::path(post, path = "/v1/quotes", operation_id = "create_quote", tag = "quotes", security(("bearer" = [])), request_body = QuoteBody,
    responses((status = 201, description = "The offer", body = QuoteView,
        headers(("Location" = String, description = "Of the quote"))), Problems))]
pub(crate) async fn create(api: web::Data<Api>, CallerAnd(caller, body): CallerAnd<JsonBody<QuoteBody>>) -> Answer {
    let (pickup, dropoff) = (body.0.pickup.check("pickup")?, body.0.dropoff.check("dropoff")?);
    let quote = api.quote_trip.run(caller.passenger_id, pickup, dropoff, api.clock.now()).await?;
    let location = format!("/v1/quotes/{}", quote.id);
    Ok(HttpResponse::Created().insert_header(("Location", location)).json(QuoteView::from(&quote)))
}

/// The same offer again, also when it has expired.
#[utoipa::path(get, path = "/v1/quotes/{id}", operation_id = "show_quote", tag = "quotes", security(("bearer" = [])),
    params(("id" = String, Path, description = "The quote")),
    responses((status = 200, description = "The offer", body = QuoteView), Problems))]
pub(crate) async fn show(api: web::Data<Api>, CallerAnd(caller, id): CallerAnd<PathId<Quote>>) -> Answer {
    let shard = api.shards.read(caller.passenger_id.shard());
    let quote = Quote::find_owned(shard, caller.passenger_id, id.0).await?.ok_or_else(Problem::not_found)?;
    Ok(HttpResponse::Ok().json(QuoteView::from(&quote)))
}
