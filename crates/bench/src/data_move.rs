//! A shard that is moved between two databases while its passenger rides: how long writes wait, and whether anything fails or is
//! lost.

use std::{
    process::Stdio,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use tokio::process::Command;

use crate::{
    client::{Client, Ride},
    clock, data_scan,
    data_seed::Seeded,
    data_store,
    gateway::Gateway,
    main_flow::Places,
    report::{Report, Row},
};

/// To and fro.
const MOVES: usize = 4;
/// What writes to the shard may wait, by the product's default.
const ALLOWED_MS: f64 = 1000.0;
/// Between what the passenger does: fast enough to meet every moment of a move.
const PAUSE: Duration = Duration::from_millis(2);
const KEEP_S: &str = "5";

/// What the passenger has seen.
#[derive(Default)]
struct Seen {
    rides: Vec<Ride>,
    /// Of each write, ms.
    writes: Vec<f64>,
    reads: usize,
    failures: Vec<String>,
}

/// What the mover has told.
struct Told {
    seconds: f64,
    rows: u64,
    waited_ms: f64,
}

/// On two PostgreSQL servers, with `rides` in them.
///
/// # Errors
/// In words.
pub(crate) async fn run(places: &Places, rides: u32, quick: bool, report: &mut Report<Row>) -> Result<(), String> {
    let (_, clusters) = data_store::durable(2, 0)?;
    let created: Result<Vec<_>, _> = clusters.iter().map(|cluster| cluster.server().create_database(None)).collect();
    let created = created.map_err(|error| error.to_string())?;
    let dsns: Vec<String> = created.iter().map(|database| database.dsn()).collect();
    let (dsns, folder) = (dsns.join(","), places.folder("move"));
    std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    data_scan::migrate(places, &folder, &dsns).await?;
    let databases: Vec<Seeded> = created.into_iter().map(|database| Seeded::Postgres(Box::new(database))).collect();
    Seeded::fill(&databases, rides, clock::unix_ms()).await?;
    eprintln!("bench: move: {rides} rides made");
    let gateway = Gateway::start(&places.gateway, &folder, &[("GATEWAY__STORE__SHARDS", &*dsns)]).await?;
    let client = Client::new(gateway.url())?;
    let passenger = client.passengers(0, 1).await?.remove(0);
    let shard = passenger.id & 1023;
    let over = AtomicBool::new(false);
    let moving = async {
        let mut told = Vec::new();
        // The range of the map: the upper half lies in the second database.
        let mut is_in_second = shard >= 512;
        for _ in 0..if quick { 1 } else { MOVES } {
            let to = if is_in_second { "1" } else { "2" };
            let moved = move_to(places, &dsns, shard, to).await;
            is_in_second = !is_in_second;
            told.push(moved);
            eprintln!("bench: move: {} of {MOVES}", told.len());
        }
        over.store(true, Ordering::Relaxed);
        told.into_iter().collect::<Result<Vec<_>, _>>()
    };
    let (told, mut seen) = tokio::join!(moving, ride_on(&client, &passenger, &over));
    let told = told?;
    let mut lost = 0;
    for ride in &seen.rides {
        lost += usize::from(client.status(ride).await.as_deref() != Ok("cancelled"));
    }
    gateway.stop().await?;
    add(report, &told, &mut seen, lost);
    Ok(())
}

/// Requests rides, looks at them and calls them off, one after the other. What fails is noted, and the passenger goes on.
async fn ride_on(client: &Client, passenger: &crate::client::Passenger, over: &AtomicBool) -> Seen {
    let mut seen = Seen::default();
    while !over.load(Ordering::Relaxed) {
        if let Err(failure) = ride_once(client, passenger, &mut seen).await {
            seen.failures.push(failure);
        }
        tokio::time::sleep(PAUSE).await;
    }
    seen
}

async fn ride_once(client: &Client, passenger: &crate::client::Passenger, seen: &mut Seen) -> Result<(), String> {
    let asked = clock::now();
    let quoted = client.again(passenger).await?;
    seen.writes.push(asked.elapsed().as_secs_f64() * 1000.0);
    let asked = clock::now();
    let ride = client.request(&[quoted], 1).await?.remove(0);
    seen.writes.push(asked.elapsed().as_secs_f64() * 1000.0);
    let status = client.status(&ride).await?;
    seen.reads += 1;
    if status != "requested" {
        return Err(format!("a ride that was just requested is {status}"));
    }
    let asked = clock::now();
    client.cancel(std::slice::from_ref(&ride)).await?;
    seen.writes.push(asked.elapsed().as_secs_f64() * 1000.0);
    let status = client.status(&ride).await?;
    seen.reads += 1;
    seen.rides.push(ride);
    if status == "cancelled" { Ok(()) } else { Err(format!("a ride that was just called off is {status}")) }
}

async fn move_to(places: &Places, dsns: &str, shard: i64, to: &str) -> Result<Told, String> {
    let began = clock::now();
    let mut command = Command::new(&places.gateway);
    command.args(["shards", "move", &shard.to_string(), "--to", to, "--keep-s", KEEP_S]);
    command.env("GATEWAY__STORE__SHARDS", dsns).env("GATEWAY__RUNTIME__LOG", "warn").stdin(Stdio::null());
    let output = command.output().await.map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        return Err(format!("moving: {}{text}", String::from_utf8_lossy(&output.stderr)));
    }
    let number = |before: &str, after: &str| {
        let rest = text.split_once(before).map(|(_, rest)| rest)?;
        rest.split_once(after)?.0.trim().parse::<f64>().ok()
    };
    let said = || format!("moving: it said {text}");
    let rows = number(&format!("to database {to}: "), " rows").ok_or_else(said)?;
    let waited_ms = number("writes waited ", " ms").ok_or_else(said)?;
    Ok(Told { seconds: began.elapsed().as_secs_f64(), rows: rows as u64, waited_ms })
}

fn add(report: &mut Report<Row>, told: &[Told], seen: &mut Seen, lost: usize) {
    let list = |figure: &dyn Fn(&Told) -> String| told.iter().map(figure).collect::<Vec<_>>().join(", ");
    let most = |figures: &mut dyn Iterator<Item = f64>| figures.fold(0.0, f64::max);
    let rows = told.iter().map(|told| told.rows).max().unwrap_or_default();
    report.add(Row {
        what: format!("a shard of {rows} rows moved under load: writes to it wait, ms"),
        goal: format!("< {ALLOWED_MS:.0}"),
        figure: format!(
            "{} by the mover; each move took {} s, {KEEP_S} of them kept for late readers",
            list(&|told| format!("{:.0}", told.waited_ms)),
            list(&|told| format!("{:.1}", told.seconds))
        ),
        peer: String::new(),
        judged: Some((most(&mut told.iter().map(|told| told.waited_ms)), ALLOWED_MS)),
    });
    seen.writes.sort_unstable_by(f64::total_cmp);
    let median = seen.writes.get(seen.writes.len() / 2).copied().unwrap_or_default();
    let slowest = seen.writes.last().copied().unwrap_or_default();
    report.add(Row {
        what: "slowest write of a passenger of that shard meanwhile, ms".to_owned(),
        goal: format!("< {ALLOWED_MS:.0}"),
        figure: format!("{slowest:.0} of {} writes, median {median:.1}", seen.writes.len()),
        peer: String::new(),
        judged: Some((slowest, ALLOWED_MS)),
    });
    let failed = seen.failures.len() + lost;
    report.add(Row {
        what: "reads and writes that failed, and rides that were lost".to_owned(),
        goal: "0".to_owned(),
        figure: format!(
            "{} failed of {} reads and {} writes, {lost} lost of {} rides{}",
            seen.failures.len(),
            seen.reads,
            seen.writes.len(),
            seen.rides.len(),
            seen.failures.first().map(|first| format!("; the first: {first}")).unwrap_or_default()
        ),
        peer: String::new(),
        judged: Some((failed as f64, 0.0)),
    });
}
