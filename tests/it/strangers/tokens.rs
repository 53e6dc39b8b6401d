//! Who may call what.

use std::collections::BTreeSet;

use serde_json::json;

use crate::harness::{Api, eventually, text};

use super::{
    snapshot::{Section, has_the_headers_of_an_api, told},
    table::{Place, Route},
    world::{Sent, World, name},
};

#[tokio::test(flavor = "multi_thread")]
async fn the_description_is_the_route_table_and_few_routes_need_no_token() {
    let world = World::new().await;
    let table = world.gateway.internal().get("/internal/v1/traffic/routes").send().await.expect(200);
    let table = table["routes"].as_array().expect("routes").iter();
    let table: BTreeSet<String> = table.map(|route| text(&route["method"]) + " " + &text(&route["path"])).collect();
    let named = |of: &dyn Fn(&Route) -> bool| {
        world.routes.iter().filter(|route| of(route)).map(Route::name).collect::<BTreeSet<_>>()
    };
    assert_eq!(named(&|route| route.place == Place::Public), table);
    let open = named(&|route| !route.secured && route.place != Place::Sandbox);
    let of_the_contract = [
        "GET /docs",
        "GET /docs/problems",
        "GET /health/live",
        "GET /health/ready",
        "GET /openapi.json",
        "GET /v1/products",
        "GET /v1/ride-states",
        "POST /v1/auth/otp",
        "POST /v1/auth/refresh",
        "POST /v1/auth/token",
    ];
    assert_eq!(open, BTreeSet::from(of_the_contract.map(str::to_owned)));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_url_holds_a_phone_a_code_or_a_token_but_the_sandboxs_inbox() {
    let world = World::new().await;
    for route in world.routes.iter().filter(|route| route.path != "/sandbox/sms/{phone}") {
        let in_url = route.parameters.iter().filter(|parameter| parameter["in"] != "header").map(name);
        for name in in_url.chain(route.id()) {
            let personal = ["phone", "code", "token", "email", "key", "secret"].iter().any(|word| name.contains(word));
            assert!(!personal, "{} has {name} in its URL", route.name());
        }
    }
}

/// A driver plays the ride to its end first, so that passengers find receipts; what deletes comes last.
#[tokio::test(flavor = "multi_thread")]
async fn every_answer_has_the_headers_of_an_api() {
    let world = World::new().await;
    let mut section = Section::default();
    let mut routes: Vec<&Route> = world.routes.iter().collect();
    routes.sort_by_key(|route| (route.method == "DELETE", !route.is_internal()));
    for route in routes {
        let answer = world.call_for_head(&world.insider(route), route).await;
        has_the_headers_of_an_api(&answer);
        section.note("a call as it should be", &answer.status.to_string(), &route.name(), "");
    }
    for nowhere in
        ["/", "/v1", "/v1/nothing", "/v1/rides/1/2/3", "/v1/me/", "/docs/", "/docs/nothing", "/sandbox/nothing", "/%00"]
    {
        for api in [world.gateway.public(), world.gateway.internal(), world.gateway.internal_without_token()] {
            let answer = api.get(nowhere).send().await;
            has_the_headers_of_an_api(&answer);
            if answer.status != 200 {
                assert!(matches!(answer.status, 401 | 404), "{nowhere}: {answer:#?}");
                told(&answer, nowhere);
            }
        }
    }
    world.is_unharmed();
    section.compare("good calls");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_good_token_no_secured_route_does_anything() {
    let world = World::new().await;
    let good = world.owner.api.token.clone().unwrap();
    let (head, signature) = good.rsplit_once('.').unwrap();
    let claims = head.split('.').nth(1).unwrap();
    // {"alg":"none"}
    let unsigned = format!("eyJhbGciOiJub25lIn0.{claims}.");
    let turned: String = signature.chars().rev().collect();
    let bad = [
        ("no token", None),
        ("an empty token", Some("Bearer ".to_owned())),
        ("nonsense", Some("Bearer nonsense".to_owned())),
        ("three dots", Some("Bearer ...".to_owned())),
        ("another scheme", Some(format!("Basic {good}"))),
        ("a bare token", Some(good.clone())),
        ("another signature", Some(format!("Bearer {head}.{turned}"))),
        ("no signature", Some(format!("Bearer {unsigned}"))),
        ("a refresh token", Some(format!("Bearer {}", world.owner.refresh_token))),
        ("the other listener's token", None),
    ];
    let mut section = Section::default();
    for (what, header) in &bad {
        for route in world.routes.iter().filter(|route| route.secured) {
            let mut api = world.nobody(route);
            let header = match (*what, route.is_internal()) {
                ("the other listener's token", true) => Some(format!("Bearer {good}")),
                ("the other listener's token", false) => Some("Bearer local-dev-token".to_owned()),
                _ => header.clone(),
            };
            let key = ("idempotency-key", "k");
            let headers: Vec<_> = header.iter().map(|value| ("authorization", value.as_str())).chain([key]).collect();
            api.token = None;
            let sent = Sent { headers: Some(&headers), ..Sent::default() };
            let told = world.told(&api, route, sent, 401).await;
            section.note_one_of(route.group("every secured route"), &route.name(), what, &told);
        }
    }
    world.is_unharmed();
    section.compare("tokens");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_token_is_told_from_a_bad_one_on_every_route() {
    let world = World::with(&[("auth.access_ttl_s", "3")]).await;
    eventually("the token expires", async || {
        let answer = world.owner.api.get("/v1/me").send().await;
        (answer.status == 401).then(|| answer.problem(401, "token-expired"))
    })
    .await;
    everywhere(&world, &world.owner.api, "an expired token").await.compare("expired tokens");
    let body = json!({ "refresh_token": world.owner.refresh_token });
    world.gateway.public().post("/v1/auth/refresh", &body).send().await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_passengers_token_opens_nothing() {
    let world = World::new().await;
    let gone = world.gateway.passenger().await.api;
    gone.delete("/v1/me").send().await.expect(204);
    everywhere(&world, &gone, "a deleted passenger's token").await.compare("deleted passengers");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_belongs_to_somebody_else_is_not_there() {
    let world = World::new().await;
    let stranger = world.gateway.passenger().await.api;
    let mut section = Section::default();
    let owned = || world.routes.iter().filter(|route| !route.is_internal() && route.secured && route.id().is_some());
    for route in owned() {
        let told = world.told(&stranger, route, Sent::default(), 404).await;
        section.note_one_of(route.group("every route with an id"), &route.name(), "another passenger's token", &told);
    }
    for route in owned() {
        let own = world.call_for_head(&world.owner.api, route).await;
        assert_ne!(own.status, 404, "{}: nobody has what the stranger was denied", route.name());
    }
    world.is_unharmed();
    section.compare("other people's things");
}

/// Calls every secured public route with this token.
async fn everywhere(world: &World, api: &Api, who: &str) -> Section {
    let mut section = Section::default();
    for route in world.routes.iter().filter(|route| !route.is_internal() && route.secured) {
        let told = world.told(api, route, Sent::default(), 401).await;
        section.note_one_of(route.group("every secured route"), &route.name(), who, &told);
    }
    world.is_unharmed();
    section
}
