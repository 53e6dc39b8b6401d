//! The process is killed at every step of every strategy, and every acceptance is there once or not at all.

use super::*;

/// Those that the databases of this run allow.
pub(super) fn strategies() -> &'static [&'static str] {
    if has_three_servers() { &["outbox", "tcc", "two_phase"] } else { &["outbox", "tcc"] }
}

/// Those that hold the driver's side ready.
fn holding() -> &'static [&'static str] {
    &strategies()[1..]
}

/// A line of shell for a gateway that dies at that place.
fn dying_at(point: &str) -> String {
    format!("export GATEWAY_FAILPOINT={point}")
}

/// A gateway that dies at that place. What it leaves has a short lease.
async fn start_dying_at(point: &str, strategy: &str) -> Gateway {
    let settings = [("driver_index.strategy", strategy), ("driver_index.lease_ms", "1000")];
    Gateway::start_after(&dying_at(point), &on_three_databases(&settings)).await
}

async fn is_killed(gateway: &mut Gateway, strategy: &str, point: &str) {
    assert_eq!(gateway.exit().await, None, "{strategy}, {point}: it is killed there, by a signal");
}

/// Dispatch, which did not hear the answer, says it again. What the dead process held may be in the way for a while.
async fn accepts_in_the_end(gateway: &Gateway, driver: &Driver, ride: &str) {
    eventually("the driver accepts", async || (accepted(gateway, driver, ride).await == Some(200)).then_some(())).await;
}

/// The same with a gateway of its own for each.
pub(crate) async fn all<F: Future<Output = ()>>(rules: impl Iterator<Item = F>) {
    let rules: Vec<F> = rules.collect();
    if !has_three_servers() {
        join_all(rules).await;
        return;
    }
    // Making and dropping a database waits until everybody who is just connecting to that server has done so, and stops
    // this thread meanwhile, which may be who connects.
    for rule in rules {
        rule.await;
    }
}

async fn at_each<F: Future<Output = ()>>(
    strategy: &'static str,
    points: &[&'static str],
    rule: fn(&'static str, &'static str) -> F,
) {
    // A gateway is three databases and a few threads.
    for some in points.chunks(4) {
        all(some.iter().map(|point| rule(strategy, point))).await;
    }
}

async fn accepting(strategy: &'static str, point: &'static str) {
    let mut gateway = start_dying_at(point, strategy).await;
    let (passenger, driver) = strangers(&gateway).await;
    let ride = text(&passenger.request_authorised_ride().await["id"]);
    let told = accepted(&gateway, &driver, &ride).await;
    is_killed(&mut gateway, strategy, point).await;
    gateway.restart().await;
    if told == Some(200) {
        assert_eq!(passenger.ride(&ride).await["status"], "accepted", "{point}: what was acknowledged is there");
    }
    accepts_in_the_end(&gateway, &driver, &ride).await;
    ends_as_if_nothing_had_happened(&gateway, &passenger, &driver, &ride).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_step_of_the_outbox_an_acceptance_is_neither_lost_nor_doubled() {
    at_each("outbox", &failpoints::OUTBOX, accepting).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_step_of_tcc_an_acceptance_is_neither_lost_nor_doubled() {
    at_each("tcc", &failpoints::TCC, accepting).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_step_of_two_phases_an_acceptance_is_neither_lost_nor_doubled() {
    if crate::harness::on_three_servers() {
        at_each("two_phase", &failpoints::TWO_PHASE, accepting).await;
    }
}

/// Killed once while it accepts and once more while it finishes what it left.
async fn killed_twice(
    strategy: &'static str,
    first: &str,
    second: &'static str,
) -> (Gateway, Passenger, Driver, String) {
    let mut gateway = start_dying_at(first, strategy).await;
    let (passenger, driver) = strangers(&gateway).await;
    let ride = text(&passenger.request_authorised_ride().await["id"]);
    assert_eq!(accepted(&gateway, &driver, &ride).await, None);
    is_killed(&mut gateway, strategy, first).await;
    gateway.restart_after(&dying_at(second)).await;
    is_killed(&mut gateway, strategy, second).await;
    gateway.restart().await;
    (gateway, passenger, driver, ride)
}

async fn undoing(strategy: &'static str, point: &'static str) {
    let (gateway, passenger, driver, ride) = killed_twice(strategy, failpoints::ATTEMPT_HELD, point).await;
    nothing_is_left_to_do(&gateway).await;
    assert_eq!(passenger.ride(&ride).await["status"], "requested");
    driver.accept(&ride).await.expect(200);
    ends_as_if_nothing_had_happened(&gateway, &passenger, &driver, &ride).await;
}

async fn recovering(strategy: &'static str, point: &'static str) {
    let (gateway, passenger, driver, ride) = killed_twice(strategy, failpoints::ACCEPT_COMMITTED, point).await;
    nothing_is_left_to_do(&gateway).await;
    assert_eq!(passenger.ride(&ride).await["status"], "accepted");
    is_indexed(&driver, &[&ride]).await;
    ends_as_if_nothing_had_happened(&gateway, &passenger, &driver, &ride).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_it_finishes_what_it_left_it_finishes_it_in_the_end() {
    for strategy in holding() {
        at_each(strategy, &failpoints::UNDOING, undoing).await;
        at_each(strategy, &failpoints::RECOVERY, recovering).await;
    }
}

async fn refusing(strategy: &'static str, point: &'static str) {
    let mut gateway = start_dying_at(point, strategy).await;
    let [passenger, _, _] = a_passenger_in_each(&gateway).await;
    let [near, away, _] = a_driver_in_each(&gateway);
    let ride = text(&passenger.request_authorised_ride().await["id"]);
    near.accept(&ride).await.expect(200);
    assert_eq!(accepted(&gateway, &away, &ride).await, None);
    is_killed(&mut gateway, strategy, point).await;
    gateway.restart().await;
    nothing_is_left_to_do(&gateway).await;
    away.accept(&ride).await.problem(409, "already-accepted");
    nothing_is_left_to_do(&gateway).await;
    assert_eq!(count(&gateway, AWAY, "driver_rides").await, 0);
}

async fn failing(strategy: &'static str, point: &'static str) {
    let mut gateway = start_dying_at(point, strategy).await;
    let (passenger, driver) = strangers(&gateway).await;
    let ride = text(&passenger.request_authorised_ride().await["id"]);
    let table = if strategy == "tcc" { "barriers" } else { "driver_rides" };
    execute(&gateway, AWAY, &format!("ALTER TABLE {table} RENAME TO away")).await;
    assert_eq!(accepted(&gateway, &driver, &ride).await, None);
    is_killed(&mut gateway, strategy, point).await;
    execute(&gateway, AWAY, &format!("ALTER TABLE away RENAME TO {table}")).await;
    gateway.restart().await;
    nothing_is_left_to_do(&gateway).await;
    assert_eq!(passenger.ride(&ride).await["status"], "requested");
    driver.accept(&ride).await.expect(200);
    ends_as_if_nothing_had_happened(&gateway, &passenger, &driver, &ride).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_the_ride_refuses_or_the_drivers_side_fails_nothing_stays() {
    for strategy in holding() {
        at_each(strategy, &failpoints::REFUSAL, refusing).await;
        at_each(strategy, &failpoints::FAILURE, failing).await;
    }
}
