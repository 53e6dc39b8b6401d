//! PostgreSQL servers that are lost with all their processes, under a gateway that stays.

use clusters::{Binaries, Cluster, Database, Options};
use time::{Duration, OffsetDateTime};

use crate::{
    databases::{a_driver_in_each, a_passenger_in_each},
    harness::{Answer, Burst, Gateway, Passenger, eventually, text},
};

/// A connection that nobody used for so long is asked whether it still lives before it is used. One that died a moment ago may
/// cost somebody a 503, which says to try again.
const ASKED_AFTER: Duration = Duration::SECOND;

/// Servers that keep on the disk what they acknowledge, with a database on each. None, with a word about it, where
/// PostgreSQL is not installed.
fn servers(count: usize) -> Option<(Vec<Cluster>, Vec<Database>)> {
    let binaries = match Binaries::find() {
        Ok(binaries) => binaries,
        Err(missing) => {
            eprintln!("skipped: {missing}");
            return None;
        }
    };
    let servers = Cluster::start_many(count, &binaries, &Options { durable: true, ..Options::default() }).unwrap();
    let databases = servers.iter().map(|cluster| cluster.server().create_database(None).unwrap()).collect();
    Some((servers, databases))
}

async fn gateway_on(databases: &[Database]) -> Gateway {
    let dsns: Vec<_> = databases.iter().map(Database::dsn).collect();
    Gateway::start_with(&[("store.shards", &dsns.join(",")), ("store.acquire_timeout_s", "2")]).await
}

/// The answer to whoever needs a server that is lost: try again later. Nothing of the server in it.
#[track_caller]
fn apologised(answer: &Answer) {
    answer.problem(503, "unavailable");
    for word in ["postgres", "database", "127.0.0.1", "gateway@"] {
        assert!(!answer.body.contains(word), "the passenger need not know: {answer:#?}");
    }
}

/// Waits until the server is back for everybody.
async fn serves_again(passenger: &Passenger, lost_at: OffsetDateTime) {
    eventually("it serves again", async || {
        let answer = passenger.api.get("/v1/me").send().await;
        (answer.status == 200 && OffsetDateTime::now_utc() - lost_at > ASKED_AFTER).then_some(())
    })
    .await;
}

fn nothing_is_told_that_should_not_be(gateway: &Gateway, databases: &[Database]) {
    let log = gateway.log();
    assert!(!log.contains("panicked"), "{log}");
    for database in databases {
        let dsn = database.dsn();
        let password = dsn.rsplit_once('@').unwrap().0.rsplit_once(':').unwrap().1;
        assert!(!log.contains(password), "{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_when_the_server_was_lost_is_there_when_it_is_back() {
    let Some((mut servers, databases)) = servers(1) else { return };
    let gateway = gateway_on(&databases).await;
    let (burst, passenger) = (Burst::new(&gateway).await, gateway.passenger().await);
    let kill = async || {
        servers[0].kill().unwrap();
        OffsetDateTime::now_utc()
    };
    let (answers, lost_at) = burst.send(4, kill).await;

    apologised(&passenger.api.get("/v1/me").send().await);
    apologised(&passenger.api.get("/v1/rides/current").send().await);
    gateway.internal().get("/health/live").send().await.expect(200);
    servers[0].start_again().unwrap();
    serves_again(&passenger, lost_at).await;

    let acknowledged = answers.into_iter().map(|answer| {
        let (kept, refused): (Vec<_>, Vec<_>) = answer.into_iter().partition(|answer| answer.status == 201);
        refused.iter().for_each(apologised);
        kept.into_iter().next()
    });
    burst.has_one_ride_each(acknowledged.collect()).await;
    passenger.request_authorised_ride().await;
    nothing_is_told_that_should_not_be(&gateway, &databases);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_one_of_three_servers_is_lost_the_others_serve_rides_to_their_end() {
    let Some((mut servers, databases)) = servers(3) else { return };
    let mut gateway = gateway_on(&databases).await;
    let (passengers, drivers) = (a_passenger_in_each(&gateway).await, a_driver_in_each(&gateway));
    let ride = text(&passengers[1].request_authorised_ride().await["id"]);
    servers[1].kill().unwrap();
    let lost_at = OffsetDateTime::now_utc();

    for home in [0, 2] {
        let done = text(&drivers[home].ride_at(&passengers[home], "completed").await["id"]);
        passengers[home].receipt_with(&done, "captured").await;
    }
    apologised(&passengers[1].api.get(&format!("/v1/rides/{ride}")).send().await);

    servers[1].start_again().unwrap();
    serves_again(&passengers[1], lost_at).await;
    drivers[1].bring(&passengers[1], &ride, "completed").await;
    passengers[1].receipt_with(&ride, "captured").await;
    nothing_is_told_that_should_not_be(&gateway, &databases);
    assert_eq!(gateway.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_one_of_its_servers_it_does_not_start_and_says_which() {
    let Some((mut servers, databases)) = servers(2) else { return };
    let mut gateway = gateway_on(&databases).await;
    assert_eq!(gateway.stop().await, Some(0));
    servers[1].stop().unwrap();
    let ended = gateway.try_restart().await.expect_err("it cannot serve");
    let place = format!("127.0.0.1:{}/{}", servers[1].server().port(), databases[1].name());
    super::refused(ended, &["database 2", &place]);
    servers[1].start_again().unwrap();
    gateway.restart().await;
    nothing_is_told_that_should_not_be(&gateway, &databases);
}
