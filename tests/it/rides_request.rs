//! Requesting a ride: once, whatever the network does.

use std::collections::HashSet;

use futures_util::future::join_all;
use serde_json::json;
use time::OffsetDateTime;

use crate::harness::{Gateway, instant, text};

#[tokio::test(flavor = "multi_thread")]
async fn a_new_ride_says_where_it_is_and_what_it_costs() {
    let gateway = Gateway::start().await;
    let passenger = gateway.passenger().await;
    let quote = passenger.quote().await;
    let answer = passenger.try_request(&quote, "first").await;
    let ride = answer.expect(201);
    let path = format!("/v1/rides/{}", text(&ride["id"]));
    assert!(answer.header("location").is_some_and(|location| location.ends_with(&path)), "{answer:#?}");
    assert_eq!(answer.header("etag"), Some(format!("\"{}\"", ride["version"]).as_str()));
    assert_eq!(answer.header("idempotency-replayed"), None);
    assert_eq!(
        (&ride["status"], &ride["version"], &ride["payment_status"]),
        (&json!("requested"), &json!(1), &json!("pending"))
    );
    assert_eq!((&ride["pickup"], &ride["dropoff"]), (&crate::harness::pickup(), &crate::harness::dropoff()));
    assert_eq!((&ride["product"], &ride["quote_id"]), (&json!("economy"), &quote["quote_id"]));
    assert_eq!(ride["fare"], quote["options"][0]["fare"]);
    assert!(ride["driver"].is_null() && ride["cancellation"].is_null(), "{ride}");
    assert!(ride["pickup_code"].as_str().is_some_and(|code| !code.is_empty()), "{ride}");
    assert!(instant(&ride["requested_at"]) <= OffsetDateTime::now_utc());
    assert_eq!(instant(&ride["status_at"]), instant(&ride["requested_at"]));
    for field in ["pickup_eta_s", "status_at"] {
        assert!(ride.get(field).is_some(), "{ride}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_needs_a_key_of_a_sane_length() {
    let gateway = Gateway::start().await;
    let passenger = gateway.passenger().await;
    let body = json!({ "quote_id": passenger.quote().await["quote_id"], "product": "economy" });
    passenger.api.post("/v1/rides", &body).send().await.problem(400, "idempotency-key-missing");
    for key in ["", "\"\"", &"k".repeat(256)] {
        let answer = passenger.try_request_body(&body, key).await;
        assert!(matches!(answer.status, 400 | 422), "{answer:#?}");
    }
    passenger.try_request_body(&body, &"k".repeat(255)).await.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_request_with_the_same_key_returns_the_first_ride() {
    let gateway = Gateway::start().await;
    let passenger = gateway.passenger().await;
    let quote = passenger.quote().await;
    let first = passenger.try_request(&quote, "again").await;
    first.expect(201);
    // A change in between does not show: the answer is the stored one.
    passenger.ride_with(&text(&first.json()["id"]), "payment_status", "authorised").await;
    for key in ["again", "\"again\""] {
        let replay = passenger.try_request(&quote, key).await;
        assert_eq!((replay.status, &replay.body), (first.status, &first.body));
        assert_eq!(replay.header("idempotency-replayed"), Some("true"));
        for header in ["location", "etag", "content-type"] {
            assert_eq!(replay.header(header), first.header(header));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_requests_with_one_key_make_one_ride_and_equal_answers() {
    let gateway = Gateway::start().await;
    let passenger = gateway.passenger().await;
    let quote = passenger.quote().await;
    let answers = join_all((0..200).map(|_| passenger.try_request(&quote, "one-key"))).await;
    let bodies: HashSet<&str> = answers.iter().map(|answer| answer.body.as_str()).collect();
    assert_eq!(bodies.len(), 1, "{bodies:#?}");
    assert!(answers.iter().all(|answer| answer.status == 201));
    let fresh = answers.iter().filter(|answer| answer.header("idempotency-replayed").is_none()).count();
    assert_eq!(fresh, 1, "one request made the ride, the others saw it");
    let history = passenger.api.get("/v1/rides").send().await.expect(200);
    assert_eq!(history["rides"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_requests_with_different_keys_make_one_ride() {
    let gateway = Gateway::start().await;
    let passenger = gateway.passenger().await;
    let quote = passenger.quote().await;
    let keys: Vec<String> = (0..200).map(|i| format!("key-{i}")).collect();
    let answers = join_all(keys.iter().map(|key| passenger.try_request(&quote, key))).await;
    let (won, lost): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 201);
    assert_eq!((won.len(), lost.len()), (1, 199));
    let ride = won[0].json();
    for answer in lost {
        assert_eq!(answer.problem(409, "already-riding")["ride_id"], ride["id"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_belongs_to_its_body() {
    let gateway = Gateway::start().await;
    let passenger = gateway.passenger().await;
    let quote = passenger.quote().await;
    passenger.try_request(&quote, "mine").await.expect(201);
    let other = json!({ "quote_id": quote["quote_id"], "product": "xl" });
    passenger.try_request_body(&other, "mine").await.problem(422, "idempotency-key-reused");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_belongs_to_its_passenger() {
    let gateway = Gateway::start().await;
    let (first, second) = (gateway.passenger().await, gateway.passenger().await);
    let ride = first.try_request(&first.quote().await, "shared").await.expect(201);
    let other = second.try_request(&second.quote().await, "shared").await.expect(201);
    assert_ne!(ride["id"], other["id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_not_stored_under_its_key() {
    let gateway = Gateway::start().await;
    let passenger = gateway.passenger().await;
    let quote = passenger.quote().await;
    let ride = passenger.try_request(&quote, "first").await.expect(201);
    let next = passenger.quote().await;
    passenger.try_request(&next, "second").await.problem(409, "already-riding");
    passenger.cancel_free(&text(&ride["id"])).await;
    passenger.try_request(&next, "second").await.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quote_buys_one_ride() {
    let gateway = Gateway::start().await;
    let passenger = gateway.passenger().await;
    let quote = passenger.quote().await;
    let ride = passenger.try_request(&quote, "first").await.expect(201);
    passenger.cancel_free(&text(&ride["id"])).await;
    passenger.try_request(&quote, "second").await.problem(409, "quote-used");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_must_be_in_the_quote() {
    let gateway = Gateway::start().await;
    let passenger = gateway.passenger().await;
    let body = json!({ "quote_id": passenger.quote().await["quote_id"], "product": "helicopter" });
    passenger.try_request_body(&body, "up").await.problem(422, "product");
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_come_in_the_order_key_ride_quote_product() {
    let gateway = Gateway::start().await;
    let passenger = gateway.passenger().await;
    let quote = passenger.quote().await;
    let wrong_twice = json!({ "quote_id": "1", "product": "helicopter" });
    passenger.try_request_body(&wrong_twice, "a").await.problem(404, "not-found");
    let ride = passenger.try_request(&quote, "b").await.expect(201);
    passenger.try_request_body(&wrong_twice, "c").await.problem(409, "already-riding");
    passenger.try_request_body(&wrong_twice, "b").await.problem(422, "idempotency-key-reused");
    passenger.api.post("/v1/rides", &wrong_twice).send().await.problem(400, "idempotency-key-missing");
    passenger.cancel_free(&text(&ride["id"])).await;
    let used = json!({ "quote_id": quote["quote_id"], "product": "helicopter" });
    passenger.try_request_body(&used, "d").await.problem(409, "quote-used");
}
