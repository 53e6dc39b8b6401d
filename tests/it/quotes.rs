//! Products and upfront fares.

use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::harness::{Gateway, cents, dropoff, instant, passed, pickup, text};

#[tokio::test(flavor = "multi_thread")]
async fn products_are_listed_with_the_time_to_pickup() {
    let gateway = Gateway::start().await;
    let answer = gateway.public().get("/v1/products?lat=40.758&lng=-73.9855").send().await.expect(200);
    let products = answer["products"].as_array().unwrap();
    let ids: Vec<&str> = products.iter().map(|product| product["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["economy", "comfort", "xl"]);
    for product in products {
        assert!(product["display_name"].is_string() && product["capacity"].as_u64() > Some(0), "{product}");
        assert!(product["pickup_eta_s"].is_u64(), "{product}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn products_need_a_place_inside_the_area() {
    let gateway = Gateway::start().await;
    let public = gateway.public();
    public.get("/v1/products?lat=51.5&lng=-0.12").send().await.problem(422, "out-of-area");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fare_is_the_sum_of_its_parts() {
    let gateway = Gateway::start().await;
    let quote = gateway.passenger().await.quote().await;
    assert!(instant(&quote["expires_at"]) > OffsetDateTime::now_utc());
    assert!(quote["distance_m"].as_u64() > Some(4_000), "{quote}");
    assert!(quote["duration_s"].as_u64() > Some(60), "{quote}");
    assert_eq!(quote.get("surge"), Some(&Value::Null));
    let options = quote["options"].as_array().unwrap();
    assert_eq!(options.len(), 3);
    for option in options {
        let parts = option["breakdown"].as_array().unwrap();
        assert!(parts.iter().all(|part| part["kind"].is_string()), "{option}");
        let sum: i64 = parts.iter().map(|part| cents(&part["amount"])).sum();
        assert_eq!(cents(&option["fare"]), sum, "{option}");
        assert!(sum > 0);
        assert!(option["display_name"].is_string() && option["capacity"].is_u64() && option["pickup_eta_s"].is_u64());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trip_must_begin_and_end_inside_the_area() {
    let gateway = Gateway::start().await;
    let api = gateway.passenger().await.api;
    let london = json!({ "lat": 51.5, "lng": -0.12 });
    let away = json!({ "pickup": pickup(), "dropoff": london });
    api.post("/v1/quotes", &away).send().await.problem(422, "out-of-area");
    let from_away = json!({ "pickup": london, "dropoff": dropoff() });
    api.post("/v1/quotes", &from_away).send().await.problem(422, "out-of-area");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fare_is_promised_for_as_long_as_the_setting_says() {
    let gateway = Gateway::start_with(&[("quotes.ttl_s", "60")]).await;
    let quote = gateway.passenger().await.quote().await;
    let left = instant(&quote["expires_at"]) - OffsetDateTime::now_utc();
    assert!(left.whole_seconds() <= 60, "quotes.ttl_s lowers how long a fare is promised: {left}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_quote_is_readable_but_buys_no_ride() {
    let gateway = Gateway::start_with(&[("quotes.ttl_s", "1")]).await;
    let passenger = gateway.passenger().await;
    let quote = passenger.quote().await;
    passed(&quote["expires_at"]).await;
    passenger.try_request(&quote, "late").await.problem(410, "quote-expired");
    let path = format!("/v1/quotes/{}", text(&quote["quote_id"]));
    assert_eq!(passenger.api.get(&path).send().await.expect(200), quote);
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_elses_quote_buys_nothing() {
    let gateway = Gateway::start().await;
    let quote = gateway.passenger().await.quote().await;
    let stranger = gateway.passenger().await;
    stranger.try_request(&quote, "theirs").await.problem(404, "not-found");
}
