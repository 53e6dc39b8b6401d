//! What is on offer, and how a ride may move.

use actix_web::{HttpRequest, HttpResponse, web};

use crate::{
    Api,
    dto::{
        PointBody,
        quote::{ProductView, ProductsView},
        ride::RideStatesView,
    },
    extract::Query,
    openapi::Problems,
    problem::Answer,
};

/// What can be requested here, and how soon a car would come.
#[utoipa::path(get, path = "/v1/products", operation_id = "list_products", tag = "quotes",
    params(("lat" = f64, Query, description = "Latitude, degrees", minimum = -90, maximum = 90), ("lng" = f64, Query, description = "Longitude, degrees", minimum = -180, maximum = 180)),
    responses((status = 200, description = "The products", body = ProductsView), Problems))]
pub(crate) async fn list(api: web::Data<Api>, request: HttpRequest) -> Answer {
    let query = Query::of(&request, &["lat", "lng"])?;
    let at = PointBody { lat: query.required("lat")?, lng: query.required("lng")? }.check("")?;
    let products = api.quote_trip.products(at, api.clock.now()).await?;
    let products = products.into_iter().map(|(product, eta)| ProductView::new(product, eta)).collect();
    Ok(HttpResponse::Ok().json(ProductsView { products }))
}

/// Every legal move of a ride, who may make it, and what happens by itself.
#[utoipa::path(get, path = "/v1/ride-states", tag = "rides",
    responses((status = 200, description = "The transition table", body = RideStatesView), Problems))]
pub(crate) async fn ride_states(api: web::Data<Api>) -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(api.ride_states.0.clone())
}
