//! Following a ride: gapless, replayable, ending.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::harness::{Event, EventStream, Gateway, eventually, text};

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_begins_with_now_and_misses_nothing() {
    let gateway = Gateway::start().await;
    let (passenger, driver) = (gateway.passenger().await, gateway.driver("ana"));
    let ride = passenger.request_authorised_ride().await;
    let id = text(&ride["id"]);
    let mut stream = passenger.follow(&id).await;
    let first = stream.next_ride().await.expect("the current ride");
    assert_eq!(first.data, ride);
    let following = driver.bring(&passenger, &id, "completed");
    let (_, rest) = tokio::join!(following, stream.rides_until_end());
    let events: Vec<Event> = [first].into_iter().chain(rest).collect();
    EventStream::gapless(&events);
    for event in &events {
        assert_eq!(event.data["version"], event.seq(), "seq, version and id are one number");
    }
    let last = events.last().unwrap();
    assert_eq!(last.data["status"], "completed", "the terminal event is the last");
    assert_eq!(last.data, passenger.ride(&id).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_shows_what_was_seen_live() {
    let gateway = Gateway::start().await;
    let (passenger, driver) = (gateway.passenger().await, gateway.driver("ana"));
    let id = text(&passenger.request_ride().await["id"]);
    let live = passenger.follow(&id).await.rides_until_end();
    let (_, live) = tokio::join!(driver.bring(&passenger, &id, "completed"), live);
    let last = live.last().unwrap().seq();
    for after in 0..last {
        let stream = passenger.follow_after(&id, after).await;
        let replay = stream.rides_until_end().await;
        assert_eq!(EventStream::gapless(&replay), (after + 1..=last).collect::<Vec<_>>());
        for event in &replay {
            if let Some(seen) = live.iter().find(|seen| seen.seq() == event.seq()) {
                assert_eq!(without_location(&event.data), without_location(&seen.data));
            }
            assert!(event.data["driver"].is_null() || event.data["driver"]["location"].is_null(), "{event:?}");
        }
    }
}

fn without_location(ride: &Value) -> Value {
    let mut ride = ride.clone();
    if let Some(driver) = ride["driver"].as_object_mut() {
        driver.remove("location");
    }
    ride
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_resumed_in_the_middle_goes_on_live() {
    let gateway = Gateway::start().await;
    let (passenger, driver) = (gateway.passenger().await, gateway.driver("ana"));
    let id = text(&driver.ride_at(&passenger, "accepted").await["id"]);
    let stream = passenger.follow_after(&id, 1).await;
    let (_, events) = tokio::join!(driver.bring(&passenger, &id, "completed"), stream.rides_until_end());
    assert_eq!(events[0].seq(), 2);
    EventStream::gapless(&events);
    assert_eq!(events.last().unwrap().data["status"], "completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn resuming_at_the_end_or_past_it_has_nothing_to_say() {
    let gateway = Gateway::start().await;
    let passenger = gateway.passenger().await;
    let id = text(&passenger.request_ride().await["id"]);
    let ride = passenger.cancel_free(&id).await;
    let last = ride["version"].as_u64().unwrap();
    for after in [last, last + 1, last + 1000, 99_999_999_999] {
        let answer = passenger.try_follow(&id, Some(&after.to_string())).await.err().expect("no stream");
        assert_eq!(answer.status, 204, "after {after}: {answer:#?}");
    }
    let whole = passenger.follow(&id).await.rides_until_end().await;
    assert_eq!(whole.len(), 1, "without a last id: the ride as it ended");
    assert_eq!(whole[0].data["status"], "cancelled");
}

#[tokio::test(flavor = "multi_thread")]
async fn positions_come_only_while_a_driver_is_on_the_ride() {
    let gateway = Gateway::start().await;
    let (passenger, driver) = (gateway.passenger().await, gateway.driver("ana"));
    let id = text(&passenger.request_authorised_ride().await["id"]);
    driver.report(40.75, -73.99, 0).await.expect(204);
    let mut stream = passenger.follow(&id).await;
    assert_eq!(stream.next().await.unwrap().data["driver"], Value::Null);

    driver.accept(&id).await.expect(200);
    stream.until("accepted").await;
    driver.report(40.751, -73.991, 0).await.expect(204);
    let position = position_at(&mut stream, 40.751).await;
    assert_eq!(position.id, None);
    assert_eq!((&position.data["lng"], &position.data["stale"]), (&json!(-73.991), &json!(false)));
    assert!(position.data["observed_at"].is_string());

    driver.step(&id, "release").await.expect(200);
    let released = stream.until("requested").await;
    driver.report(40.752, -73.992, 0).await.expect(204);
    passenger.cancel_free(&id).await;
    let rest = stream.until_end().await;
    assert!(rest.iter().all(Event::is_ride), "no positions after {released:?}: {rest:?}");
}

async fn position_at(stream: &mut EventStream, lat: f64) -> Event {
    loop {
        let event = stream.next().await.expect("the stream goes on");
        if event.name == "location" && event.data["lat"] == lat {
            return event;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_followers_see_the_same() {
    let gateway = Gateway::start().await;
    let (passenger, driver) = (gateway.passenger().await, gateway.driver("ana"));
    let id = text(&passenger.request_authorised_ride().await["id"]);
    let streams = futures_util::future::join_all((0..50).map(|_| passenger.follow(&id))).await;
    let reading = futures_util::future::join_all(streams.into_iter().map(EventStream::rides_until_end));
    let (_, all) = tokio::join!(driver.bring(&passenger, &id, "completed"), reading);
    let distinct: HashSet<Vec<u64>> = all.iter().map(|events| EventStream::gapless(events)).collect();
    assert_eq!(distinct.len(), 1, "{distinct:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_are_told_when_to_come_back_and_not_all_at_once() {
    let gateway = Gateway::start().await;
    let passenger = gateway.passenger().await;
    let id = text(&passenger.request_ride().await["id"]);
    let mut hints = HashSet::new();
    for _ in 0..10 {
        let mut stream = passenger.follow(&id).await;
        stream.next().await.expect("the current ride");
        let hint = stream.retry.expect("the hint comes before the first event");
        assert!((500..=10_000).contains(&hint), "{hint} ms");
        hints.insert(hint);
    }
    assert!(hints.len() > 1, "{hints:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_token_ends_the_stream() {
    let gateway = Gateway::start_with(&[("auth.access_ttl_s", "2")]).await;
    let passenger = gateway.passenger().await;
    let id = text(&passenger.request_ride().await["id"]);
    let events = passenger.follow(&id).await.rides_until_end().await;
    assert!(events.iter().all(|event| event.data["status"] == "requested"), "{events:?}");
    let answer = passenger.try_follow(&id, None).await.err().expect("no stream with an old token");
    answer.problem(401, "token-expired");
    // The owner returns with a new token and misses nothing.
    let returned = gateway.sign_in(&passenger.phone).await;
    returned.cancel_free(&id).await;
    let rest = returned.follow_after(&id, events.last().unwrap().seq()).await.rides_until_end().await;
    EventStream::gapless(&[events, rest].concat());
}

#[tokio::test(flavor = "multi_thread")]
async fn followers_who_hang_up_leave_nothing_behind() {
    let gateway = Gateway::start().await;
    let passenger = gateway.passenger().await;
    let id = text(&passenger.request_authorised_ride().await["id"]);
    for _ in 0..20 {
        let mut stream = passenger.follow(&id).await;
        stream.next().await.expect("the current ride");
    }
    eventually("the gateway still serves", async || {
        let answer = passenger.api.get(&format!("/v1/rides/{id}")).send().await;
        (answer.status == 200).then_some(())
    })
    .await;
}
