//! What can go wrong with prepared transactions alone.

use clusters::{Binaries, Cluster, Database, Options};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

use super::*;
use crate::harness::on_three_servers;

const PREPARED: &str = "pg_prepared_xacts WHERE database = current_database()";

/// What a wire to a server does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wire {
    /// It carries.
    Whole,
    /// It will be cut when a preparation has gone by; the answer to it is lost.
    Tapped,
    /// Nothing goes through.
    Cut,
}

/// A wire to the server at this port. `heals`: only the connection of the preparation is lost.
struct Line {
    port: u16,
    wire: watch::Sender<Wire>,
    _tasks: JoinSet<()>,
}

impl Line {
    async fn to(server: u16, heals: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let wire = watch::Sender::new(Wire::Whole);
        let (mut tasks, shared) = (JoinSet::new(), wire.clone());
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (client, _) = listener.accept().await.unwrap();
                connections.spawn(carry(client, server, shared.clone(), heals));
            }
        });
        Self { port, wire, _tasks: tasks }
    }
}

async fn carry(mut client: TcpStream, server: u16, wire: watch::Sender<Wire>, heals: bool) {
    if *wire.borrow() == Wire::Cut {
        return;
    }
    let mut server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
    let (mut forth, mut back) = (vec![0; 65_536], vec![0; 65_536]);
    let mut is_lost = false;
    loop {
        tokio::select! {
            Ok(size @ 1..) = client.read(&mut forth) => {
                if *wire.borrow() == Wire::Cut {
                    return;
                }
                let prepares = forth[..size].windows(19).any(|words| words == b"PREPARE TRANSACTION");
                if prepares && *wire.borrow() == Wire::Tapped {
                    is_lost = true;
                    wire.send_replace(if heals { Wire::Whole } else { Wire::Cut });
                }
                server.write_all(&forth[..size]).await.unwrap();
            }
            Ok(size @ 1..) = server.read(&mut back) => {
                // The server has done it when it answers.
                if is_lost || *wire.borrow() == Wire::Cut || client.write_all(&back[..size]).await.is_err() {
                    return;
                }
            }
            else => return,
        }
    }
}

/// The DSN with another port.
fn through(dsn: &str, port: u16) -> String {
    let (before, after) = dsn.rsplit_once(':').unwrap();
    format!("{before}:{port}/{}", after.split_once('/').unwrap().1)
}

fn port_of(dsn: &str) -> u16 {
    dsn.rsplit_once(':').unwrap().1.split_once('/').unwrap().0.parse().unwrap()
}

/// A gateway that reaches the driver's database by a wire.
async fn start_by_wire(heals: bool) -> (Gateway, Line) {
    let settings = [("driver_index.strategy", "two_phase"), ("driver_index.lease_ms", "1000")];
    let mut gateway = Gateway::start_with(&settings).await;
    let mut dsns = gateway.dsns();
    let line = Line::to(port_of(&dsns[AWAY]), heals).await;
    dsns[AWAY] = through(&dsns[AWAY], line.port);
    assert_eq!(gateway.stop().await, Some(0));
    gateway.restart_with(&[("store.shards", &dsns.join(","))]).await;
    (gateway, line)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preparation_whose_acknowledgement_is_lost_is_rolled_back_and_the_driver_may_try_again() {
    if !on_three_servers() {
        return;
    }
    for heals in [true, false] {
        let (gateway, line) = start_by_wire(heals).await;
        let (passenger, driver) = strangers(&gateway).await;
        let ride = text(&passenger.request_authorised_ride().await["id"]);
        line.wire.send_replace(Wire::Tapped);
        driver.accept(&ride).await.problem(503, "unavailable");
        assert_eq!(passenger.ride(&ride).await["status"], "requested");
        let left = count(&gateway, AWAY, PREPARED).await;
        assert_eq!(left, if heals { 0 } else { 1 }, "the node takes it back, if it reaches the server");
        line.wire.send_replace(Wire::Whole);
        nothing_is_left_to_do(&gateway).await;
        driver.accept(&ride).await.expect(200);
        ends_as_if_nothing_had_happened(&gateway, &passenger, &driver, &ride).await;
    }
}

/// Three databases on a server that keeps at most this many prepared transactions.
fn server_that_keeps(most: u32) -> (Vec<Database>, Cluster) {
    let options =
        Options { settings: vec![("max_prepared_transactions".to_owned(), most.to_string())], ..Options::default() };
    let cluster = Cluster::start(&Binaries::find().unwrap(), &options).unwrap();
    let databases = (0..3).map(|_| cluster.server().create_database(None).unwrap()).collect();
    (databases, cluster)
}

fn dsns(databases: &[Database]) -> String {
    databases.iter().map(Database::dsn).collect::<Vec<_>>().join(",")
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_server_keeps_no_more_prepared_transactions_the_driver_is_told_to_come_back_and_nothing_is_left() {
    if !on_three_servers() {
        return;
    }
    let (databases, _cluster) = tokio::task::spawn_blocking(|| server_that_keeps(1)).await.unwrap();
    let settings = [("store.shards", &*dsns(&databases)), ("driver_index.strategy", "two_phase")];
    let gateway = Gateway::start_with(&settings).await;
    let (passenger, driver) = strangers(&gateway).await;
    let ride = text(&passenger.request_authorised_ride().await["id"]);
    let look = |place: usize, query: &str| String::from_utf8(databases[place].run(query).unwrap()).unwrap();
    look(HOME, "BEGIN; CREATE TABLE filler (); PREPARE TRANSACTION 'somebody else''s';");
    let answer = driver.accept(&ride).await;
    answer.problem(503, "unavailable");
    assert!(answer.header("retry-after").is_some());
    assert_eq!(passenger.ride(&ride).await["status"], "requested");
    let left = "SELECT gid FROM pg_prepared_xacts; SELECT ride_id FROM transactions; SELECT ride_id FROM driver_rides;";
    assert_eq!(look(AWAY, left).trim(), "somebody else's");
    look(HOME, "ROLLBACK PREPARED 'somebody else''s';");
    driver.accept(&ride).await.expect(200);
    let indexed = look(AWAY, "SELECT ride_id FROM driver_rides; SELECT gid FROM pg_prepared_xacts;");
    assert_eq!(indexed.trim(), ride);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_phases_are_refused_where_the_server_keeps_no_prepared_transactions() {
    if !on_three_servers() {
        return;
    }
    let (databases, _cluster) = tokio::task::spawn_blocking(|| server_that_keeps(0)).await.unwrap();
    let settings = [("store.shards", &*dsns(&databases)), ("driver_index.strategy", "two_phase")];
    let (code, said) = run_to_exit(&["serve"], &settings).await;
    let named = ["driver_index.strategy", "two_phase", "max_prepared_transactions", "database 1"];
    assert!(code != 0 && named.iter().all(|word| said.contains(word)), "{said}");
}
