//! `/v1/me`.

use actix_web::{HttpResponse, web};
use entity::Passenger;
use usecase::auth::access::Denied;

use crate::{
    Api,
    dto::auth::{ProfileBody, ProfileView},
    extract::{Caller, CallerAnd, JsonBody},
    openapi::Problems,
    problem::Answer,
};

/// Who one is.
#[utoipa::path(get, path = "/v1/me", operation_id = "show_profile", tag = "profile",
    security(("bearer" = [])),
    responses((status = 200, description = "The profile", body = ProfileView), Problems))]
pub(crate) async fn show(api: web::Data<Api>, caller: Caller) -> Answer {
    let found = Passenger::find(api.shards.read(caller.passenger_id.shard()), caller.passenger_id).await?;
    Ok(HttpResponse::Ok().json(ProfileView::from(found.ok_or(Denied::Invalid)?)))
}

/// Changes the profile (JSON merge patch).
#[utoipa::path(patch, path = "/v1/me", operation_id = "change_profile", tag = "profile",
    security(("bearer" = [])),
    request_body(content((ProfileBody = "application/merge-patch+json"), (ProfileBody = "application/json"))),
    responses((status = 200, description = "The profile", body = ProfileView), Problems))]
pub(crate) async fn patch(api: web::Data<Api>, CallerAnd(caller, body): CallerAnd<JsonBody<ProfileBody>>) -> Answer {
    let patched = api.change_profile.patch(caller.passenger_id, body.0.check()?).await?;
    Ok(HttpResponse::Ok().json(ProfileView::from(patched)))
}

/// Removes who this was and ends every session.
#[utoipa::path(delete, path = "/v1/me", operation_id = "delete_profile", tag = "profile", security(("bearer" = [])),
    responses((status = 204, description = "Deleted"), Problems))]
pub(crate) async fn delete(api: web::Data<Api>, caller: Caller) -> Answer {
    api.change_profile.delete(caller.passenger_id).await?;
    Ok(HttpResponse::NoContent().finish())
}
