//! Admission control as operators see and change it.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::json;
use traffic::{Changed, Keeper, Mistakes, Nanos, PolicySet, Whom};

use crate::{
    Api,
    dto::rfc3339,
    extract::{Query, TomlBody},
    problem::{Answer, Code, Problem},
    routes,
};

/// How the limits stand, and somebody with them: `address`, `passenger_id`, `device_id`, `class`. Changes nothing.
pub(super) async fn show(api: web::Data<Api>, request: HttpRequest) -> Answer {
    let whom = Query::of(&request, &["address", "passenger_id", "device_id", "class"])?.whom()?;
    let (set, now) = (api.admission.policies(), now(&api));
    let keys = set.policies().list.iter().zip(set.keys());
    let policies: Vec<_> = keys
        .map(|(policy, (name, keys))| json!({ "name": name, "key": policy.key, "mode": policy.mode, "keys": keys }))
        .collect();
    let is_anybody = whom != Whom::default();
    let tiers = if is_anybody { api.admission.explain(&whom, now) } else { Vec::new() };
    Ok(HttpResponse::Ok().json(json!({
        "gate": api.admission.gate().state(),
        "revision": set.revision(),
        "policies": policies,
        "tiers": tiers,
    })))
}

/// The policies in effect, and where they come from.
pub(super) async fn policies(api: web::Data<Api>) -> HttpResponse {
    let (set, status) = (api.admission.policies(), api.policies.status());
    let refused = status.refused.map(|refused| json!({ "at": rfc3339(refused.at), "mistakes": refused.mistakes }));
    HttpResponse::Ok().json(json!({
        "revision": set.revision(),
        "source": status.source,
        "file": status.file.map(|file| file.display().to_string()),
        "loaded_at": rfc3339(status.loaded_at),
        "refused": refused,
        "policies": set.policies(),
    }))
}

/// Takes other policies as a whole, until the file changes, or a restart.
pub(super) async fn replace(api: web::Data<Api>, body: Result<TomlBody, Problem>) -> Answer {
    let body = body.inspect_err(|problem| api.policies.could_not_read(&problem.to_string()))?;
    let changed = beside(&api, move |keeper, now, at| keeper.put(&body.0, now, at)).await?;
    told(changed)
}

/// Reads the file now, also when it did not change.
pub(super) async fn reload(api: web::Data<Api>) -> Answer {
    let changed = beside(&api, |keeper, now, at| keeper.reload(now, at)).await?;
    told(changed.ok_or_else(|| Problem::new(Code::NotFound, "There is no policies file: what is built in holds."))?)
}

/// Every public route with its class, its priority, and what each policy takes for it.
pub(super) async fn routes(api: web::Data<Api>) -> HttpResponse {
    let set = api.admission.policies();
    let routes: Vec<_> = routes::TABLE.iter().map(|route| with_policies(route, &set)).collect();
    HttpResponse::Ok().json(json!({ "revision": set.revision(), "routes": routes }))
}

fn with_policies(route: &routes::Route, set: &PolicySet) -> serde_json::Value {
    let policies: Vec<_> = set
        .policies()
        .of_class(route.class)
        .map(|(policy, cost)| json!({ "name": policy.name, "key": policy.key, "cost": cost, "mode": policy.mode }))
        .collect();
    let mut row = json!(route);
    row["policies"] = json!(policies);
    row
}

/// Does what may wait for the disk, or takes a while with many callers, where no request waits for it.
async fn beside<T: Send + 'static>(
    api: &web::Data<Api>,
    work: impl FnOnce(&Keeper, Nanos, runtime::Millis) -> T + Send + 'static,
) -> Result<T, Problem> {
    let (keeper, now, at) = (Arc::clone(&api.policies), now(api), api.clock.now());
    web::block(move || work(&keeper, now, at)).await.map_err(|error| Problem::internal(&error))
}

fn told(changed: Result<Changed, Mistakes>) -> Answer {
    let refused = |mistakes| {
        Problem::invalid_field("body", "policies without a mistake; nothing was changed").with("mistakes", mistakes)
    };
    Ok(HttpResponse::Ok().json(changed.map_err(refused)?))
}

fn now(api: &Api) -> Nanos {
    Nanos::since_start_of(&api.started)
}
