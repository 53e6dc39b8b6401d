//! What operators do by hand.

use actix_web::{HttpRequest, HttpResponse, web};
use entity::{OutboxEntry, OutboxKey, Passenger};

use crate::{
    Api,
    dto::{
        auth::{ProfileView, phone},
        internal::{DeadLetterView, DeadLettersView, FindBody},
    },
    extract::{JsonBody, PathId, Query},
    problem::{Answer, Problem},
};

pub(super) async fn find_passenger(api: web::Data<Api>, body: JsonBody<FindBody>) -> Answer {
    let hash = api.keys.phone_hash(&phone(&body.0.phone)?);
    let found = Passenger::find_by_phone(api.shards.read(hash.shard()), hash).await?;
    Ok(HttpResponse::Ok().json(ProfileView::from(found.ok_or_else(Problem::not_found)?)))
}

pub(super) async fn revoke_sessions(api: web::Data<Api>, id: PathId<Passenger>) -> Answer {
    let revoked = api.sign_out.everywhere(id.0).await?.ok_or_else(Problem::not_found)?;
    tracing::info!(passenger = %id.0, revoked, "an operator revoked all sessions");
    Ok(HttpResponse::NoContent().finish())
}

pub(super) async fn dead_letters(api: web::Data<Api>, request: HttpRequest) -> Answer {
    let dead = OutboxEntry::list_dead(&api.shards, Query::of(&request, &["limit"])?.limit()?).await?;
    let entries = dead.iter().map(DeadLetterView::from).collect();
    Ok(HttpResponse::Ok().json(DeadLettersView { entries }))
}

pub(super) async fn requeue(api: web::Data<Api>, id: web::Path<String>) -> Answer {
    let key: OutboxKey = id.parse().map_err(|_| Problem::not_found())?;
    let requeued = api.requeue_dead_letter.run(key, api.clock.now()).await?;
    let message = requeued.ok_or_else(Problem::not_found)?;
    tracing::info!(%key, message = message.kind(), "an operator requeued a dead letter");
    Ok(HttpResponse::NoContent().finish())
}
