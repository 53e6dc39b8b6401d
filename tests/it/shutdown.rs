//! A polite end: nothing that was begun is cut, nothing that was promised is lost, and it does not take for ever.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
};

use futures_util::future::join_all;
use sea_orm::{ConnectOptions, ConnectionTrait as _, Database, DatabaseConnection};
use serde_json::Value;

use crate::harness::{Answer, Burst, EventStream, Gateway, PATIENCE, Passenger, eventually, slow, text, trip};

/// A quote asks four times: together less than the 2 s that partners get, and more than a signal needs.
const SLOW_ROUTING_MS: u32 = 350;

/// Asks for a quote, does something while it is under way, and gives the answer to both.
async fn during_a_slow_quote<T>(
    gateway: &Gateway,
    passenger: &Passenger,
    act: impl Future<Output = T>,
) -> (Result<Answer, reqwest::Error>, T) {
    gateway.script("routing", &slow(SLOW_ROUTING_MS)).await;
    let before = admitted(gateway).await;
    let call = passenger.api.post("/v1/quotes", &trip()).try_send();
    let act = async {
        eventually("the quote is under way", async || (admitted(gateway).await > before).then_some(())).await;
        act.await
    };
    tokio::join!(call, act)
}

/// Requests of passengers that were admitted so far.
async fn admitted(gateway: &Gateway) -> u64 {
    let metrics = gateway.internal().get("/metrics").send().await;
    let series = |line: &&str| {
        line.starts_with("gateway_traffic_decisions_total{") && line.contains("passenger") && line.contains("admit")
    };
    // One a class.
    let counts = metrics.body.lines().filter(series).filter_map(|line| line.rsplit(' ').next());
    counts.map(|count| count.parse::<u64>().expect("a count")).sum()
}

/// A request whose body never comes.
fn endless_request(gateway: &Gateway, passenger: &Passenger) -> TcpStream {
    let mut connection = TcpStream::connect(("127.0.0.1", gateway.public_port())).unwrap();
    connection.set_read_timeout(Some(PATIENCE)).unwrap();
    let token = passenger.api.token.as_deref().unwrap();
    let head = format!(
        "POST /v1/quotes HTTP/1.1\r\nhost: here\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ncontent-length: 100\r\nexpect: 100-continue\r\n\r\n"
    );
    connection.write_all(head.as_bytes()).unwrap();
    // `100 Continue` says that the handler asked for the body.
    let mut told = [0; 25];
    connection.read_exact(&mut told).unwrap();
    assert!(told.starts_with(b"HTTP/1.1 100 Continue"), "{}", String::from_utf8_lossy(&told));
    connection
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_goes_down_while_both_listeners_still_answer() {
    let mut gateway = Gateway::start_with(&[("runtime.unready_s", "5")]).await;
    let passenger = gateway.passenger().await;
    gateway.signal("TERM");
    let draining = eventually("readiness goes down", async || {
        let answer = gateway.internal_without_token().get("/health/ready").send().await;
        (answer.status != 200).then_some(answer)
    })
    .await;
    assert_eq!(draining.expect(503)["status"], "draining");
    gateway.internal_without_token().get("/health/live").send().await.expect(200);
    passenger.request_ride().await;
    assert_eq!(gateway.exit().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn while_it_is_not_ready_it_asks_clients_to_connect_anew() {
    let gateway = Gateway::start_with(&[("runtime.unready_s", "60")]).await;
    // One connection from before, and an error as well as a success.
    let mut connection = TcpStream::connect(("127.0.0.1", gateway.public_port())).unwrap();
    connection.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut ask = |path: &str| {
        connection.write_all(format!("GET {path} HTTP/1.1\r\nhost: here\r\n\r\n").as_bytes()).unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            connection.read_exact(&mut byte).unwrap();
            head.extend(byte);
        }
        String::from_utf8(head).unwrap()
    };
    assert!(!ask("/docs").contains("connection:"), "nothing is said while it serves");
    gateway.signal("TERM");
    let health = gateway.internal_without_token();
    let draining = async || (health.get("/health/ready").send().await.status == 503).then_some(());
    eventually("readiness goes down", draining).await;
    let last = ask("/docs");
    assert!(last.contains("\r\nconnection: close\r\n"), "{last}");
    for (api, path) in [(gateway.public(), "/v1/me"), (health, "/health/ready")] {
        let answer = api.get(path).send().await;
        assert!([401, 503].contains(&answer.status), "{answer:#?}");
        assert_eq!(answer.header("connection"), Some("close"), "{answer:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_under_way_is_answered_and_no_new_connection_is_taken() {
    let mut gateway = Gateway::start().await;
    let passenger = gateway.passenger().await;
    let end = async {
        gateway.signal("TERM");
        let newcomer = async || gateway.public().get("/v1/ride-states").try_send().await.is_err().then_some(());
        eventually("nobody new is let in", newcomer).await;
    };
    let (answer, ()) = during_a_slow_quote(&gateway, &passenger, end).await;
    let quote = answer.expect("the request that was under way is answered").expect(201);
    assert_eq!(gateway.exit().await, Some(0));
    gateway.restart().await;
    let kept = passenger.api.get(&format!("/v1/quotes/{}", text(&quote["quote_id"]))).send().await.expect(200);
    assert_eq!(kept, quote);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_does_not_hold_up_the_end() {
    // Longer than anybody waits here.
    let mut gateway = Gateway::start_with(&[("runtime.drain_s", "600")]).await;
    let mut idle = TcpStream::connect(("127.0.0.1", gateway.public_port())).unwrap();
    idle.write_all(b"GET /v1/ride-states HTTP/1.1\r\nhost: here\r\n\r\n").unwrap();
    assert!(idle.read(&mut [0; 64]).unwrap() > 0);
    let _silent = TcpStream::connect(("127.0.0.1", gateway.public_port())).unwrap();
    assert_eq!(gateway.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_answered_while_it_ends_is_true() {
    let mut gateway = Gateway::start().await;
    let burst = Burst::new(&gateway).await;
    // Whoever gets no answer was not let in any more.
    let (answers, code) = burst.send(1, async || gateway.stop().await).await;
    assert_eq!(code, Some(0));
    gateway.restart().await;
    burst.has_one_ride_each(answers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_is_told_when_to_come_back_and_then_misses_nothing() {
    let mut gateway = Gateway::start().await;
    let (passenger, driver) = (gateway.passenger().await, gateway.driver("ana"));
    let id = text(&driver.ride_at(&passenger, "accepted").await["id"]);
    let mut stream = passenger.follow(&id).await;
    let seen = stream.next_ride().await.expect("the current ride").seq();
    assert!(stream.retry.is_some(), "a hint when to reconnect");
    // The harness fails a stream that breaks instead of ending.
    let (code, rest) = tokio::join!(gateway.stop(), stream.until_end());
    assert_eq!((code, rest), (Some(0), vec![]));
    gateway.restart().await;
    let stream = passenger.follow_after(&id, seen).await;
    let (_, events) = tokio::join!(driver.bring(&passenger, &id, "completed"), stream.rides_until_end());
    assert_eq!(EventStream::gapless(&events)[0], seen + 1);
    assert_eq!(events.last().unwrap().data["status"], "completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_under_way_is_finished_before_the_end() {
    let mut gateway = Gateway::start().await;
    let (first, second) = (gateway.passenger().await, gateway.passenger().await);
    gateway.script("payment", &slow(300)).await;
    let sooner = text(&first.request_ride().await["id"]);
    gateway.script("payment", &slow(1500)).await;
    let later = text(&second.request_ride().await["id"]);
    // The relay records one message only after it has taken up whatever was committed before.
    first.ride_with(&sooner, "payment_status", "authorised").await;
    assert_eq!(gateway.stop().await, Some(0));
    // Nobody could authorise anything now.
    gateway.restart_with(&[("sandbox.enabled", "false")]).await;
    assert_eq!(second.ride(&later).await["payment_status"], "authorised");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_outlives_the_drain_time_is_told_after_the_next_start_and_counts_once() {
    let mut gateway = Gateway::start_with(&[("runtime.drain_s", "1")]).await;
    gateway.script("payment", &slow(60_000)).await;
    let passengers = join_all((0..5).map(|_| gateway.passenger())).await;
    let rides = join_all(passengers.iter().map(Passenger::request_ride)).await;
    assert_eq!(gateway.stop().await, Some(0));
    gateway.restart().await;
    for (passenger, ride) in passengers.iter().zip(&rides) {
        let id = text(&ride["id"]);
        gateway.driver(&format!("driver-of-{id}")).bring(passenger, &id, "completed").await;
        let log = passenger.follow_after(&id, 0).await.rides_until_end().await;
        let paid: Vec<&Value> = log.iter().map(|event| &event.data["payment_status"]).collect();
        assert_eq!(paid, ["pending", "authorised", "authorised", "authorised", "authorised", "authorised"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_outlives_the_drain_time_does_not_hold_up_the_end() {
    for signal in ["TERM", "INT"] {
        let mut gateway = Gateway::start_with(&[("runtime.drain_s", "1")]).await;
        let passenger = gateway.passenger().await;
        let mut connection = endless_request(&gateway, &passenger);
        gateway.signal(signal);
        assert_eq!(gateway.exit().await, Some(0), "after SIG{signal}");
        assert!(!gateway.log().contains("panicked"));
        let mut rest = Vec::new();
        // The connection was cut: an end or a reset, but no silence.
        let _ = connection.read_to_end(&mut rest);
        assert!(!rest.starts_with(b"HTTP/1.1 5"), "{}", String::from_utf8_lossy(&rest));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_somebody_else_holds_does_not_hold_up_the_end() {
    let settings = [("runtime.drain_s", "1"), ("store.acquire_timeout_s", "60")];
    let mut gateway = Gateway::start_with(&settings).await;
    let passenger = gateway.passenger().await;
    let _held = hold_the_quotes(&gateway).await;
    let writes = join_all((0..10).map(|_| passenger.api.post("/v1/quotes", &trip()).try_send()));
    let stop = async {
        eventually("ten writes wait", async || (writing(&gateway).await >= 10).then_some(())).await;
        gateway.signal("TERM");
    };
    let (answers, ()) = tokio::join!(writes, stop);
    assert_eq!(gateway.exit().await, Some(0));
    // Whoever still hears something hears that it may be tried again, not that something broke.
    for answer in answers.into_iter().flatten() {
        answer.problem(503, "unavailable");
    }
    assert!(!gateway.log().contains("internal error"));
}

/// Another client of the databases in whose way every quote is, until this is dropped.
async fn hold_the_quotes(gateway: &Gateway) -> Vec<DatabaseConnection> {
    let holding = gateway.dsns().into_iter().map(|dsn| async {
        // The one writer of SQLite, and a table of a server that has many.
        let lock = match dsn.starts_with("sqlite") {
            true => "BEGIN IMMEDIATE",
            false => "BEGIN; LOCK TABLE quotes IN ACCESS EXCLUSIVE MODE",
        };
        let mut options = ConnectOptions::new(dsn);
        options.max_connections(1);
        let connection = Database::connect(options).await.unwrap();
        connection.execute_unprepared(lock).await.unwrap();
        connection
    });
    join_all(holding).await
}

/// Transactions that are under way or wait for the lock.
async fn writing(gateway: &Gateway) -> u64 {
    let metrics = gateway.internal().get("/metrics").send().await;
    let line = metrics.body.lines().find(|line| line.starts_with("gateway_tasks_running{task=\"write-transaction\"}"));
    line.and_then(|line| line.rsplit(' ').next()).map_or(0, |count| count.parse().expect("a count"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_at_once_and_harms_nothing() {
    for (first, second) in [("TERM", "TERM"), ("INT", "INT"), ("TERM", "INT")] {
        let mut gateway = Gateway::start_with(&[("runtime.drain_s", "600")]).await;
        let passenger = gateway.passenger().await;
        let ride = passenger.request_ride().await;
        let _connection = endless_request(&gateway, &passenger);
        gateway.signal(first);
        eventually("the stop was noticed", async || gateway.log().contains("stopping").then_some(())).await;
        gateway.signal(second);
        assert_eq!(gateway.exit().await, Some(130), "SIG{first}, then SIG{second}");
        gateway.restart().await;
        gateway.driver("ana").bring(&passenger, &text(&ride["id"]), "completed").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupt_drains_as_well() {
    let mut gateway = Gateway::start().await;
    let passenger = gateway.passenger().await;
    let (answer, ()) = during_a_slow_quote(&gateway, &passenger, async { gateway.signal("INT") }).await;
    answer.expect("the request that was under way is answered").expect(201);
    assert_eq!(gateway.exit().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_task_has_ended_when_it_says_that_it_stopped() {
    let mut gateway = Gateway::start_with(&[("sandbox.drivers", "20"), ("sandbox.time_scale", "100")]).await;
    let passengers = join_all((0..5).map(|_| gateway.passenger())).await;
    join_all(passengers.iter().map(Passenger::request_ride)).await;
    assert_eq!(gateway.stop().await, Some(0));
    let log = gateway.log();
    let last = log.lines().last().unwrap();
    assert!(last.contains("stopped") && last.contains("drained=true"), "{last}");
    assert!(!log.contains("ERROR"), "a polite end is no failure:\n{log}");
}
