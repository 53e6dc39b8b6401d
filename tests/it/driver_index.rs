//! The driver index, where driver and ride lie in different databases.

use futures_util::future::join_all;
use sea_orm::{ConnectionTrait, DbBackend, Statement};
use serde_json::{Value, json};
use usecase::driver_index::failpoints;

use crate::{
    databases::{THREE, a_driver_in_each, a_passenger_in_each, ids, raw},
    harness::{Driver, Gateway, Passenger, eventually, run_to_exit, text},
};

/// Where the passenger and their ride lie, and where the driver.
const HOME: usize = 0;
const AWAY: usize = 1;

async fn count(gateway: &Gateway, place: usize, what: &str) -> i64 {
    let statement = Statement::from_string(DbBackend::Sqlite, format!("SELECT count(*) FROM {what}"));
    let row = raw(gateway, place).await.query_one_raw(statement).await.unwrap().unwrap();
    row.try_get_by_index(0).unwrap()
}

async fn execute(gateway: &Gateway, place: usize, statement: &str) {
    raw(gateway, place).await.execute_unprepared(statement).await.unwrap();
}

/// A passenger and a driver of different databases.
async fn strangers(gateway: &Gateway) -> (Passenger, Driver) {
    let [passenger, _, _] = a_passenger_in_each(gateway).await;
    let [_, driver, _] = a_driver_in_each(gateway);
    (passenger, driver)
}

async fn is_indexed(driver: &Driver, rides: &[&str]) {
    eventually("the index has the driver's rides", async || {
        let listed = driver.rides().await;
        let listed = ids(&listed);
        (listed.len() == rides.len() && rides.iter().all(|ride| listed.contains(*ride))).then_some(())
    })
    .await;
}

async fn nothing_is_left_to_do(gateway: &Gateway) {
    eventually("every message is delivered", async || {
        let mut left = 0;
        for place in 0..3 {
            left += count(gateway, place, "outbox").await;
        }
        (left == 0).then_some(())
    })
    .await;
}

/// Takes an accepted ride to its end and counts what the way there has left.
async fn ends_as_if_nothing_had_happened(gateway: &Gateway, passenger: &Passenger, driver: &Driver, ride: &str) {
    driver.bring(passenger, ride, "completed").await;
    passenger.receipt_with(ride, "captured").await;
    is_indexed(driver, &[ride]).await;
    nothing_is_left_to_do(gateway).await;
    assert_eq!(count(gateway, AWAY, "driver_rides").await, 1);
    assert_eq!(count(gateway, HOME, "driver_rides").await, 0);
    let accepted = format!("ride_events WHERE ride_id = {ride} AND change LIKE '%\"accepted\"%'");
    assert_eq!(count(gateway, HOME, &accepted).await, 1, "accepted once");
}

/// Kills the gateway at one step of an acceptance and starts it again.
async fn survives_a_kill_at(point: &str, settings: &[(&str, &str)]) {
    let mut gateway = Gateway::start_after(&format!("export GATEWAY_FAILPOINT={point}"), settings).await;
    let (passenger, driver) = strangers(&gateway).await;
    let ride = text(&passenger.request_authorised_ride().await["id"]);
    let path = format!("/internal/v1/rides/{ride}/accept");
    let body = json!({ "driver": driver.card(), "pickup_eta_s": 180 });
    let told = gateway.internal().post(&path, &body).try_send().await;
    assert_eq!(gateway.exit().await, None, "{point}: it is killed there, by a signal");
    gateway.restart().await;
    if told.is_ok_and(|answer| answer.status == 200) {
        assert_eq!(passenger.ride(&ride).await["status"], "accepted", "{point}: what was acknowledged is there");
    }
    // Dispatch did not hear the answer and says it again.
    assert_eq!(driver.accept(&ride).await.expect(200)["status"], "accepted", "{point}");
    ends_as_if_nothing_had_happened(&gateway, &passenger, &driver, &ride).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_step_of_the_outbox_an_acceptance_is_neither_lost_nor_doubled() {
    let settings = [("store.shards", THREE), ("driver_index.strategy", "outbox")];
    join_all(failpoints::OUTBOX.map(|point| survives_a_kill_at(point, &settings))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_drivers_database_fails_rides_go_on_and_the_index_has_them_when_it_is_back() {
    let settings = [
        ("store.shards", THREE),
        ("relay.max_attempts", "1"),
        ("relay.first_backoff_ms", "20"),
        ("relay.max_backoff_ms", "100"),
    ];
    let gateway = Gateway::start_with(&settings).await;
    let (passenger, driver) = strangers(&gateway).await;
    execute(&gateway, AWAY, "ALTER TABLE driver_rides RENAME TO away").await;
    let ride = text(&driver.ride_at(&passenger, "completed").await["id"]);
    passenger.receipt_with(&ride, "captured").await;
    eventually("it was tried more often than anything else is", async || {
        (count(&gateway, HOME, "outbox WHERE attempts > 3").await == 1).then_some(())
    })
    .await;
    let dead = gateway.internal().get("/internal/v1/outbox/dead").send().await.expect(200);
    assert_eq!(dead["entries"], json!([]), "it is never given up");
    assert!(gateway.log().contains("still failing"), "an operator hears of it");
    execute(&gateway, AWAY, "ALTER TABLE away RENAME TO driver_rides").await;
    is_indexed(&driver, &[&ride]).await;
    nothing_is_left_to_do(&gateway).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acceptance_waits_for_no_other_drivers_database() {
    let settings = [("store.shards", THREE), ("relay.first_backoff_ms", "60000")];
    let gateway = Gateway::start_with(&settings).await;
    let [passenger, _, _] = a_passenger_in_each(&gateway).await;
    let [near, away, third] = a_driver_in_each(&gateway);
    execute(&gateway, AWAY, "ALTER TABLE driver_rides RENAME TO away").await;
    let ride = text(&away.ride_at(&passenger, "accepted").await["id"]);
    away.step(&ride, "release").await.expect(200);
    third.accept(&ride).await.expect(200);
    is_indexed(&third, &[&ride]).await;
    third.step(&ride, "release").await.expect(200);
    near.accept(&ride).await.expect(200);
    let listed = near.rides().await;
    assert!(ids(&listed).contains(&ride), "in the ride's own database it is part of the transaction");
    assert_eq!(count(&gateway, HOME, "outbox WHERE message LIKE '%index_driver%'").await, 1);
    execute(&gateway, AWAY, "ALTER TABLE away RENAME TO driver_rides").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strategy_that_there_is_not_is_refused_by_its_name() {
    for wrong in ["two_phase", "tcc", "three_phase", ""] {
        let (code, said) = run_to_exit(&["serve"], &[("driver_index.strategy", wrong)]).await;
        let named = [wrong, "`driver_index.strategy`", "\"outbox\""].iter().all(|word| said.contains(word));
        assert!(code != 0 && named, "{wrong}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_acceptance_leaves_one_row_and_one_message() {
    let gateway = Gateway::start_with(&[("store.shards", THREE)]).await;
    let (passenger, driver) = strangers(&gateway).await;
    let ride = text(&passenger.request_authorised_ride().await["id"]);
    let answers: Vec<Value> =
        join_all((0..8).map(|_| driver.accept(&ride))).await.iter().map(|answer| answer.expect(200)).collect();
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:?}");
    ends_as_if_nothing_had_happened(&gateway, &passenger, &driver, &ride).await;
}
