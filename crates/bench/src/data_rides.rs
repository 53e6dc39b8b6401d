//! Requesting rides on PostgreSQL: the gateway against pgbench with the same statements, round by round on one server.

use std::time::{Duration, Instant};

use clusters::{Cluster, Database};

use crate::{
    client::{Client, Passenger},
    clock, data_script,
    data_store::durable,
    duel::SETTINGS,
    gateway::Gateway,
    main_flow::Places,
    pgbench::{Peers, Pgbench},
    postgres::Hand,
    process::Process,
    report::{Report, Row, Spread},
};

/// How many requests are under way at once.
const CONCURRENCY: usize = 16;
/// Requests that nobody counts, at the beginning.
const WARM_UP: usize = 4 * CONCURRENCY;
const GOAL: f64 = 0.7;
/// The simulated dispatch reads a ride after it has acknowledged the request: time for that.
const AFTERMATH: Duration = Duration::from_millis(100);
/// Rows that a POST adds: both sides must leave the same numbers.
const WRITTEN: [&str; 5] = ["rides", "ride_events", "payments", "idempotency_keys", "outbox"];

/// What one side did in the rounds.
#[derive(Default)]
struct Figures {
    per_second: Vec<f64>,
    /// Processor time of a request, ms: who sends, the gateway, the server.
    cpu: [Vec<f64>; 3],
}

/// Records, checks, and measures both sides in turn.
///
/// # Errors
/// In words; also when both sides do not execute or leave the same.
pub(crate) async fn run(places: &Places, quick: bool, report: &mut Report<Row>) -> Result<(), String> {
    // Fewer than the codes that one address may ask for in ten minutes.
    let (rounds, requests) = if quick { (2, 10 * CONCURRENCY) } else { (7, 125 * CONCURRENCY) };
    let (binaries, clusters) = durable(1, 0)?;
    let script = data_script::record(places, &binaries).await?;
    eprintln!("bench: a request executes {} statements in {} transactions", script.statements, script.transactions);
    let count = WARM_UP + rounds * requests;
    let mut arena = Arena::prepare(places, &clusters[0], count).await?;
    let pgbench = Pgbench::new(&binaries, &arena.peer.dsn(), &script, &places.folder("rides"), &arena.peers)?;
    let (mut gateway, mut peer) = (Figures::default(), Figures::default());
    let mut discarded = Figures::default();
    arena.measure_gateway(WARM_UP, &mut discarded).await?;
    arena.measure_peer(&pgbench, WARM_UP, &mut discarded).await?;
    for round in 1..=rounds {
        // Who begins changes, so that neither always finds the disk and the caches as the other left them.
        if round % 2 == 0 {
            arena.measure_gateway(requests, &mut gateway).await?;
            arena.measure_peer(&pgbench, requests, &mut peer).await?;
        } else {
            arena.measure_peer(&pgbench, requests, &mut peer).await?;
            arena.measure_gateway(requests, &mut gateway).await?;
        }
        eprintln!("bench: requests: round {round} of {rounds}");
    }
    arena.close().await?;
    add(report, gateway, peer);
    report.note(format!(
        "A POST and what follows it execute {} statements on PostgreSQL, in {} transactions and single reads; {requests} requests a round.",
        script.statements, script.transactions
    ));
    Ok(())
}

fn add(report: &mut Report<Row>, gateway: Figures, peer: Figures) {
    let ratio: Vec<f64> =
        gateway.per_second.iter().zip(&peer.per_second).map(|(gateway, peer)| gateway / peer).collect();
    let ratio = Spread::of(ratio);
    let rate = |figures: &Figures| Spread::of(figures.per_second.clone()).text(0);
    report.add(Row {
        what: format!("Throughput of `POST /v1/rides` on PostgreSQL, {CONCURRENCY} at a time"),
        goal: format!("≥ {GOAL}×"),
        figure: format!("{}×; {} a second", ratio.text(2), rate(&gateway)),
        peer: format!("pgbench: {} a second", rate(&peer)),
        // A bound from above: the peer's part must not be more than it is at the goal.
        judged: Some((1.0 / ratio.median, 1.0 / GOAL)),
    });
    let median = |figures: Vec<f64>| Spread::of(figures).median;
    let [client, of_gateway, server] = gateway.cpu.map(median);
    let [of_pgbench, _, of_peers_server] = peer.cpu.map(median);
    report.add(Row {
        what: "CPU of the same, ms a request".to_owned(),
        goal: String::new(),
        figure: format!("gateway {of_gateway:.2}, PostgreSQL {server:.2}, the bench's client {client:.2}"),
        peer: format!("PostgreSQL {of_peers_server:.2}, pgbench {of_pgbench:.2}"),
        judged: None,
    });
}

/// Both sides on databases with the same contents.
struct Arena {
    gateway: Gateway,
    client: Client,
    passengers: std::vec::IntoIter<Passenger>,
    hand: Hand,
    peer_hand: Hand,
    peers: Peers,
    server: Process,
    own: Process,
    peer: Database,
    /// Gone when this is.
    _database: Database,
}

impl Arena {
    /// Passengers and quotes are made through the API, as many again for the peer, and then the peer gets a copy of it all.
    async fn prepare(places: &Places, cluster: &Cluster, count: usize) -> Result<Self, String> {
        let folder = places.folder("rides");
        let database = cluster.server().create_database(None).map_err(|error| error.to_string())?;
        let dsn = database.dsn();
        let settings: Vec<_> = SETTINGS.into_iter().chain([("GATEWAY__STORE__SHARDS", &*dsn)]).collect();
        let gateway = Gateway::start(&places.gateway, &folder, &settings).await?;
        let began = clock::now();
        let passengers = Client::new(gateway.url())?.passengers(0, count).await?;
        eprintln!("bench: {count} passengers have a quote after {:.0} s", began.elapsed().as_secs_f64());
        gateway.stop().await?;
        let peers =
            Peers { count: u32::try_from(count).map_err(|error| error.to_string())?, first_ms: clock::unix_ms() };
        let hand = Hand::open(&dsn).await?;
        hand.run(&peers.insert()).await?;
        hand.run("VACUUM (ANALYZE)").await?;
        // Nobody may use what is copied.
        hand.close().await;
        let peer = cluster.server().create_database(Some(&database)).map_err(|error| error.to_string())?;
        let gateway = Gateway::start(&places.gateway, &folder, &settings).await?;
        Ok(Self {
            client: Client::new(gateway.url())?,
            gateway,
            passengers: passengers.into_iter(),
            hand: Hand::open(&dsn).await?,
            peer_hand: Hand::open(&peer.dsn()).await?,
            peers,
            server: Process::new(cluster.process_id().ok_or("the server is gone")?)?,
            own: Process::new(std::process::id())?,
            peer,
            _database: database,
        })
    }

    async fn measure_gateway(&mut self, requests: usize, into: &mut Figures) -> Result<(), String> {
        self.end_rides().await?;
        let passengers: Vec<_> = self.passengers.by_ref().take(requests).collect();
        let cpu = || Ok::<_, String>([self.own.cpu()?, self.gateway.process.cpu()?, self.server.familys_cpu()?]);
        let (before, began) = (cpu()?, clock::now());
        self.client.request(&passengers, CONCURRENCY).await?;
        // What a ride causes belongs to it: the bank and dispatch are asked.
        self.hand.settled(&["outbox"]).await?;
        into.per_second.push(rate(requests, began));
        tokio::time::sleep(AFTERMATH).await;
        into.add_cpu(requests, before, cpu()?);
        Ok(())
    }

    async fn measure_peer(&self, pgbench: &Pgbench, requests: usize, into: &mut Figures) -> Result<(), String> {
        self.end_rides().await?;
        let cpu = || Ok::<_, String>([self.own.ended_childrens_cpu()?, Duration::ZERO, self.server.familys_cpu()?]);
        let before = cpu()?;
        into.per_second.push(pgbench.run(requests, CONCURRENCY).await?);
        tokio::time::sleep(AFTERMATH).await;
        into.add_cpu(requests, before, cpu()?);
        Ok(())
    }

    /// Ends the rides of the round before on both sides, as the simulated fleet looks at every open ride every five seconds, and
    /// clears up, so that no side's garbage is collected while the other is measured.
    async fn end_rides(&self) -> Result<(), String> {
        for hand in [&self.hand, &self.peer_hand] {
            hand.run("UPDATE rides SET status = 11, due_at = NULL WHERE status < 10").await?;
            hand.run("VACUUM (ANALYZE)").await?;
        }
        Ok(())
    }

    /// Both sides must have left the same rows.
    async fn close(self) -> Result<(), String> {
        self.gateway.stop().await?;
        for table in WRITTEN {
            let count = format!("SELECT count(*) FROM {table}");
            let (gateway, peer) = (self.hand.number(&count).await?, self.peer_hand.number(&count).await?);
            if gateway != peer {
                return Err(format!("the gateway left {gateway} {table}, the peer {peer}"));
            }
        }
        Ok(())
    }
}

impl Figures {
    fn add_cpu(&mut self, requests: usize, before: [Duration; 3], after: [Duration; 3]) {
        for ((into, before), after) in self.cpu.iter_mut().zip(before).zip(after) {
            into.push(after.saturating_sub(before).as_secs_f64() * 1000.0 / requests as f64);
        }
    }
}

fn rate(requests: usize, began: Instant) -> f64 {
    requests as f64 / began.elapsed().as_secs_f64()
}
