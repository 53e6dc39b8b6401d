//! The driver index, where driver and ride lie in different databases.

use std::collections::BTreeSet;

use entity::Change;
use futures_util::future::join_all;
use sea_orm::{ConnectionTrait, QueryResult, Statement, TryGetable};
use serde_json::{Value, json};
use usecase::driver_index::failpoints;

use crate::{
    databases::{a_driver_in_each, a_passenger_in_each, ids, on_three_databases, raw},
    harness::{Driver, Folder, Gateway, Passenger, eventually, has_three_servers, run_to_exit, run_to_exit_in, text},
};

mod kills;
pub(crate) use kills::all;
mod two_phase;

/// Where the passenger and their ride lie, and where the driver.
const HOME: usize = 0;
const AWAY: usize = 1;

async fn rows(gateway: &Gateway, place: usize, query: &str) -> Vec<QueryResult> {
    let database = raw(gateway, place).await;
    let statement = Statement::from_string(database.get_database_backend(), query);
    let rows = database.query_all_raw(statement).await.unwrap();
    database.close().await.unwrap();
    rows
}

async fn count(gateway: &Gateway, place: usize, what: &str) -> i64 {
    rows(gateway, place, &format!("SELECT count(*) FROM {what}")).await[0].try_get_by_index(0).unwrap()
}

async fn execute(gateway: &Gateway, place: usize, statement: &str) {
    let database = raw(gateway, place).await;
    database.execute_unprepared(statement).await.unwrap();
    database.close().await.unwrap();
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

/// The status of the answer, if there is one.
async fn accepted(gateway: &Gateway, driver: &Driver, ride: &str) -> Option<u16> {
    let body = json!({ "driver": driver.card(), "pickup_eta_s": 180 });
    let call = gateway.internal().post(&format!("/internal/v1/rides/{ride}/accept"), &body);
    call.try_send().await.ok().map(|answer| answer.status)
}

/// Waits until no message is to be delivered, no decision to be carried out, and nothing held ready.
async fn nothing_is_left_to_do(gateway: &Gateway) {
    let mut tables = vec!["outbox", "transactions WHERE due_at IS NOT NULL", "barriers WHERE due_at IS NOT NULL"];
    if has_three_servers() {
        tables.push("pg_prepared_xacts WHERE database = current_database()");
    }
    eventually("nothing is left to do", async || {
        let mut left = 0;
        for place in 0..3 {
            for what in &tables {
                left += count(gateway, place, what).await;
            }
        }
        (left == 0).then_some(())
    })
    .await;
    the_index_is_as_the_logs_say(gateway).await;
}

/// The rule of all: a row (driver, ride) is there exactly if the ride's log has an acceptance by that driver.
async fn the_index_is_as_the_logs_say(gateway: &Gateway) {
    let (mut indexed, mut logged) = (BTreeSet::new(), BTreeSet::new());
    for place in 0..3 {
        let found = rows(gateway, place, "SELECT driver_id, ride_id FROM driver_rides").await;
        indexed.extend(found.iter().map(|row| (column::<String>(row, 0), column::<i64>(row, 1))));
        for row in rows(gateway, place, "SELECT change, ride_id FROM ride_events").await {
            if let Change::Accepted { driver, .. } = serde_json::from_str(&column::<String>(&row, 0)).unwrap() {
                logged.insert((driver.id.as_str().to_owned(), column(&row, 1)));
            }
        }
    }
    assert_eq!(indexed, logged);
}

fn column<T: TryGetable>(row: &QueryResult, number: usize) -> T {
    row.try_get_by_index(number).unwrap()
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

#[tokio::test(flavor = "multi_thread")]
async fn while_the_drivers_database_fails_rides_go_on_and_the_index_has_them_when_it_is_back() {
    let settings = [("relay.max_attempts", "1"), ("relay.first_backoff_ms", "20"), ("relay.max_backoff_ms", "100")];
    let gateway = Gateway::start_with(&on_three_databases(&settings)).await;
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
    let lane = "gateway_outbox_lane_waiting{lane=\"driver_index\"}";
    eventually("and sees who is waited for", async || (gateway.metric(lane).await == 1.0).then_some(())).await;
    execute(&gateway, AWAY, "ALTER TABLE away RENAME TO driver_rides").await;
    is_indexed(&driver, &[&ride]).await;
    nothing_is_left_to_do(&gateway).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acceptance_waits_for_no_other_drivers_database() {
    let gateway = Gateway::start_with(&on_three_databases(&[("relay.first_backoff_ms", "60000")])).await;
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
    for wrong in ["three_phase", ""] {
        let (code, said) = run_to_exit(&["serve"], &[("driver_index.strategy", wrong)]).await;
        let named = [wrong, "`driver_index.strategy`", "\"outbox\", \"two_phase\", \"tcc\""];
        assert!(code != 0 && named.iter().all(|word| said.contains(word)), "{wrong}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_phases_with_a_file_among_the_databases_are_refused_and_nothing_is_written() {
    let server = "postgres://rider:hunter2@127.0.0.1:1/one";
    for (shards, database) in [("sqlite://one.db", 1), (&format!("{server},sqlite://two.db"), 2)] {
        let folder = Folder::new();
        let settings = [("store.shards", shards), ("driver_index.strategy", "two_phase")];
        for command in [&["serve"][..], &["config", "check"]] {
            let (code, said) = run_to_exit_in(&folder, command, &settings).await;
            let place = format!("database {database} of store.shards");
            let named = ["driver_index.strategy", "two_phase", &place].iter().all(|word| said.contains(word));
            assert!(code != 0 && named && !said.contains("hunter2"), "{said}");
        }
        let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
        assert_eq!(left, ["gateway.log"], "nothing is written");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_acceptance_is_one_and_leaves_one_row() {
    kills::all(kills::strategies().iter().map(|strategy| async move {
        let gateway = Gateway::start_with(&on_three_databases(&[("driver_index.strategy", strategy)])).await;
        let (passenger, driver) = strangers(&gateway).await;
        let ride = text(&passenger.request_authorised_ride().await["id"]);
        let answers: Vec<Value> =
            join_all((0..8).map(|_| driver.accept(&ride))).await.iter().map(|answer| answer.expect(200)).collect();
        assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{strategy}: {answers:?}");
        ends_as_if_nothing_had_happened(&gateway, &passenger, &driver, &ride).await;
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_whose_database_fails_accepts_nothing_with_tcc_and_others_do() {
    let gateway = Gateway::start_with(&on_three_databases(&[("driver_index.strategy", "tcc")])).await;
    let [passenger, _, _] = a_passenger_in_each(&gateway).await;
    let [_, away, third] = a_driver_in_each(&gateway);
    let ride = text(&passenger.request_authorised_ride().await["id"]);
    execute(&gateway, AWAY, "ALTER TABLE barriers RENAME TO away").await;
    assert!(away.accept(&ride).await.status >= 500);
    assert_eq!(passenger.ride(&ride).await["status"], "requested");
    assert_eq!(third.accept(&ride).await.expect(200)["status"], "accepted");
    let listed = third.rides().await;
    assert!(ids(&listed).contains(&ride), "it is there when the answer is");
    execute(&gateway, AWAY, "ALTER TABLE away RENAME TO barriers").await;
    away.accept(&ride).await.problem(409, "already-accepted");
    assert_eq!(count(&gateway, AWAY, "barriers").await, 0, "a refusal keeps nothing reserved");
    nothing_is_left_to_do(&gateway).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acceptance_whose_confirmation_fails_is_finished_later_and_an_operator_sees_it_meanwhile() {
    let settings = [("driver_index.strategy", "tcc"), ("driver_index.lease_ms", "1000")];
    let gateway = Gateway::start_with(&on_three_databases(&settings)).await;
    let (passenger, driver) = strangers(&gateway).await;
    let ride = text(&passenger.request_authorised_ride().await["id"]);
    execute(&gateway, AWAY, "ALTER TABLE driver_rides RENAME TO away").await;
    assert_eq!(driver.accept(&ride).await.expect(200)["status"], "accepted", "it was decided");
    let sees = async |series: &str, wanted: fn(f64) -> bool| {
        let what = format!("{series} says so");
        eventually(&what, async || wanted(gateway.metric(series).await).then_some(())).await;
    };
    sees("gateway_driver_index_in_doubt{left=\"decision\"}", |count| count == 1.0).await;
    sees("gateway_driver_index_in_doubt{left=\"reservation\"}", |count| count == 1.0).await;
    sees("gateway_driver_index_oldest_seconds{left=\"decision\"}", |age| (1.0..600.0).contains(&age)).await;
    execute(&gateway, AWAY, "ALTER TABLE away RENAME TO driver_rides").await;
    ends_as_if_nothing_had_happened(&gateway, &passenger, &driver, &ride).await;
    sees("gateway_driver_index_in_doubt{left=\"decision\"}", |count| count == 0.0).await;
    sees("gateway_driver_index_oldest_seconds{left=\"decision\"}", |age| age == 0.0).await;
    let finished =
        ["decision", "reservation"].map(|left| format!("gateway_driver_index_finished_total{{left=\"{left}\"}}"));
    assert!(gateway.metric(&finished[0]).await + gateway.metric(&finished[1]).await >= 1.0);
}
