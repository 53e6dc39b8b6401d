//! Reading rides: one, the current one, all of them.

use serde_json::{Value, json};

use crate::harness::{Gateway, Passenger, text};

/// Requests and cancels `count` rides; their ids, newest first.
async fn past_rides(passenger: &Passenger, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for _ in 0..count {
        let id = text(&passenger.request_ride().await["id"]);
        passenger.cancel_free(&id).await;
        ids.insert(0, id);
    }
    ids
}

fn ids(page: &Value) -> Vec<String> {
    page["rides"].as_array().unwrap().iter().map(|ride| text(&ride["id"])).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_cover_every_ride_once_newest_first() {
    let gateway = Gateway::start().await;
    let passenger = gateway.passenger().await;
    let expected = past_rides(&passenger, 25).await;
    for limit in [1, 7, 25, 100] {
        let (mut seen, mut cursor) = (Vec::new(), Value::Null);
        loop {
            let after = cursor.as_str().map_or(String::new(), |cursor| format!("&cursor={cursor}"));
            let page = passenger.api.get(&format!("/v1/rides?limit={limit}{after}")).send().await.expect(200);
            assert!(ids(&page).len() <= limit);
            seen.extend(ids(&page));
            cursor = page["next_cursor"].clone();
            if cursor.is_null() {
                break;
            }
            assert_eq!(ids(&page).len(), limit, "only the last page may be short");
        }
        assert_eq!(seen, expected, "limit {limit}");
    }
    let first = passenger.api.get("/v1/rides").send().await.expect(200);
    assert_eq!(ids(&first), expected[..20], "the default is 20");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ride_that_begins_between_two_pages_shifts_nothing() {
    let gateway = Gateway::start().await;
    let passenger = gateway.passenger().await;
    let expected = past_rides(&passenger, 4).await;
    let first = passenger.api.get("/v1/rides?limit=2").send().await.expect(200);
    past_rides(&passenger, 1).await;
    let path = format!("/v1/rides?limit=2&cursor={}", text(&first["next_cursor"]));
    let second = passenger.api.get(&path).send().await.expect(200);
    assert_eq!([ids(&first), ids(&second)].concat(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_of_somebody_else_opens_nothing() {
    let gateway = Gateway::start().await;
    let (owner, stranger) = (gateway.passenger().await, gateway.passenger().await);
    past_rides(&owner, 3).await;
    let page = owner.api.get("/v1/rides?limit=1").send().await.expect(200);
    let path = format!("/v1/rides?cursor={}", text(&page["next_cursor"]));
    let answer = stranger.api.get(&path).send().await;
    match answer.status {
        200 => assert_eq!(answer.json()["rides"], json!([])),
        _ => drop(answer.problem(400, "invalid-cursor")),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_passenger_has_no_rides() {
    let gateway = Gateway::start().await;
    let passenger = gateway.passenger().await;
    let page = passenger.api.get("/v1/rides").send().await.expect(200);
    assert_eq!(page, json!({ "rides": [], "next_cursor": null }));
    assert_eq!(passenger.api.get("/v1/rides/current").send().await.status, 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_current_ride_is_the_active_one() {
    let gateway = Gateway::start().await;
    let passenger = gateway.passenger().await;
    past_rides(&passenger, 1).await;
    assert_eq!(passenger.api.get("/v1/rides/current").send().await.status, 204);
    let ride = passenger.request_authorised_ride().await;
    assert_eq!(passenger.api.get("/v1/rides/current").send().await.expect(200), ride);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_ride_is_not_sent_again() {
    let gateway = Gateway::start().await;
    let passenger = gateway.passenger().await;
    let id = text(&passenger.request_authorised_ride().await["id"]);
    let path = format!("/v1/rides/{id}");
    let seen = passenger.api.get(&path).send().await;
    let tag = seen.header("etag").expect("an ETag").to_owned();
    assert_eq!(tag, format!("\"{}\"", seen.json()["version"]));
    let unchanged = passenger.api.get(&path).header("if-none-match", &tag).send().await;
    assert_eq!((unchanged.status, unchanged.body.as_str()), (304, ""));
    assert_eq!(unchanged.header("etag"), Some(tag.as_str()));
    passenger.cancel_free(&id).await;
    let changed = passenger.api.get(&path).header("if-none-match", &tag).send().await;
    assert_eq!(changed.expect(200)["status"], "cancelled");
}
