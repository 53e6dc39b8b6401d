//! Whether this process lives, wants traffic, and what it measures.

use actix_web::{HttpResponse, web};
use prometheus::TextEncoder;
use runtime::task::TaskState;

use crate::{
    Api,
    problem::{Answer, Problem},
};

pub(super) async fn live() -> HttpResponse {
    HttpResponse::Ok().json(serde_json::json!({ "status": "live" }))
}

pub(super) async fn ready(api: web::Data<Api>) -> HttpResponse {
    if api.ready.get() {
        HttpResponse::Ok().json(serde_json::json!({ "status": "ready" }))
    } else {
        HttpResponse::ServiceUnavailable().json(serde_json::json!({ "status": "draining" }))
    }
}

pub(super) async fn metrics(api: web::Data<Api>) -> Answer {
    let text = TextEncoder::new().encode_to_string(&api.registry.gather()).map_err(|e| Problem::internal(&e))?;
    Ok(HttpResponse::Ok().content_type("text/plain; version=0.0.4").body(text))
}

/// Every task of the process.
pub(super) async fn tasks(api: web::Data<Api>) -> HttpResponse {
    let tasks: Vec<_> = api
        .supervisor
        .tasks()
        .into_iter()
        .map(|task| {
            let state = match task.state {
                TaskState::Running => "running",
                TaskState::BackingOff => "backing_off",
            };
            serde_json::json!({
                "name": task.name, "state": state, "age_s": task.age.as_secs(), "restarts": task.restarts,
            })
        })
        .collect();
    HttpResponse::Ok().json(serde_json::json!({ "tasks": tasks }))
}
