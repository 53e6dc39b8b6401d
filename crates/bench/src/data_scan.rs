//! A scan of the driver index over many rides: what it costs alone, what passengers notice of it, and that it tells nothing false
//! while they ride.

use std::{
    path::Path,
    process::Stdio,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use clusters::{Binaries, Cluster, Options};
use serde_json::Value;
use tokio::process::Command;

use crate::{
    client::Client,
    clock,
    data_seed::Seeded,
    gateway::Gateway,
    main_flow::Places,
    replay,
    report::{Report, Row},
};

/// The service token of the local profile.
pub(crate) const TOKEN: &str = "local-dev-token";
const SCANS: &str = "/internal/v1/consistency/scans";
/// A scan that takes longer is not waited for.
const PATIENCE: Duration = Duration::from_secs(3_600);
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Rides that are driven again and again meanwhile.
const BATCH: u32 = 50;
/// Who requests a ride and calls it off, to see how long that takes.
const PROBES: usize = 8;
/// A hundred requests a second are no load, and their times can be told apart.
const PROBE_EVERY: Duration = Duration::from_millis(10);
/// The first of those who come when the scan is over: others have come before.
const AFTERWARDS: usize = 1_000_000;

/// On one SQLite file and on three PostgreSQL servers.
///
/// # Errors
/// In words.
pub(crate) async fn run(places: &Places, rides: u32, quick: bool, report: &mut Report<Row>) -> Result<(), String> {
    let folder = places.folder("scan-sqlite");
    std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    let file = folder.join("gateway.db");
    let dsn = format!("sqlite://{}", file.display());
    measure(places, "SQLite", &folder, &[Seeded::Sqlite(file)], &dsn, (rides, quick), report).await?;

    let binaries = Binaries::find().map_err(|error| error.to_string())?;
    let options = Options { durable: true, ..Options::default() };
    let clusters = Cluster::start_many(3, &binaries, &options).map_err(|error| error.to_string())?;
    let created: Result<Vec<_>, _> = clusters.iter().map(|cluster| cluster.server().create_database(None)).collect();
    let created = created.map_err(|error| error.to_string())?;
    let dsns: Vec<String> = created.iter().map(|database| database.dsn()).collect();
    let databases: Vec<Seeded> = created.into_iter().map(|database| Seeded::Postgres(Box::new(database))).collect();
    let folder = places.folder("scan-postgres");
    measure(places, "3 × PostgreSQL", &folder, &databases, &dsns.join(","), (rides, quick), report).await
}

async fn measure(
    places: &Places,
    store: &str,
    folder: &Path,
    databases: &[Seeded],
    dsns: &str,
    (rides, quick): (u32, bool),
    report: &mut Report<Row>,
) -> Result<(), String> {
    std::fs::create_dir_all(folder).map_err(|error| error.to_string())?;
    migrate(places, folder, dsns).await?;
    let began = clock::now();
    Seeded::fill(databases, rides, clock::unix_ms()).await?;
    eprintln!("bench: {store}: {rides} rides made in {:.0} s", began.elapsed().as_secs_f64());
    let settings = [("GATEWAY__STORE__SHARDS", dsns), ("GATEWAY__SANDBOX__TIME_SCALE", "600")];
    let gateway = Gateway::start(&places.gateway, folder, &settings).await?;
    let scans = Scans::new(&gateway)?;
    let millions = f64::from(rides) / 1e6;

    let cpu = gateway.process.cpu()?;
    let alone = scans.scan().await?;
    let cpu = (gateway.process.cpu()? - cpu).as_secs_f64();
    let memory = gateway.process.memory()?.rss_kb as f64 / 1024.0;
    report.add(Row {
        what: format!("{store}: a scan of {rides} rides, nobody there"),
        goal: String::new(),
        figure: format!(
            "{:.1} s, of which it works a quarter; {cpu:.1} s of the gateway's processor time ({:.1} s for a million rides); \
             {memory:.0} MB resident after it",
            alone.seconds,
            cpu / millions
        ),
        peer: String::new(),
        judged: None,
    });

    let probes = Client::new(gateway.url())?;
    let time = Duration::from_secs(if quick { 2 } else { 20 });
    let (is_over, under) = (AtomicBool::new(false), AtomicBool::new(false));
    let drive = async {
        let mut seed = 1;
        while !is_over.load(Ordering::Relaxed) {
            replay::drive(places, &gateway, BATCH, seed).await?;
            seed += 1;
        }
        Ok::<_, String>(seed - 1)
    };
    let watch = async {
        let mut without = probe(&probes, 0, time, &under).await?;
        under.store(true, Ordering::Relaxed);
        let scan = async {
            let scan = scans.scan().await;
            under.store(false, Ordering::Relaxed);
            scan
        };
        let (with, scan) = tokio::join!(probe(&probes, PROBES, PATIENCE, &under), scan);
        // Before and after: what takes longer and longer, or less, must not look like the scan's doing.
        let after = probe(&probes, AFTERWARDS, time, &under).await;
        is_over.store(true, Ordering::Relaxed);
        without.extend(after?);
        Ok::<_, String>((without, with?, scan?))
    };
    let (driven, watched) = tokio::join!(drive, watch);
    let (batches, (without, with, scan)) = (driven?, watched?);
    report.add(Row {
        what: format!("{store}: false alarms of a scan while passengers ride ({} rides meanwhile)", batches * BATCH),
        goal: "0".to_owned(),
        figure: format!(
            "{} in {} acceptances and {} rows, {:.1} s",
            scan.mismatches, scan.acceptances, scan.rows, scan.seconds
        ),
        peer: String::new(),
        judged: Some((scan.mismatches as f64, 0.0)),
    });
    // One that looked at a part finds nothing there either.
    for seen in [&alone, &scan] {
        if seen.acceptances < u64::from(rides) || seen.rows < u64::from(rides) {
            return Err(format!("a scan of {rides} rides saw {} acceptances and {} rows", seen.acceptances, seen.rows));
        }
    }
    let (before, during) = (Times::of(without), Times::of(with));
    report.add(Row {
        what: format!("{store}: requesting a ride and calling it off, ms, while a scan runs, against no scan"),
        goal: String::new(),
        figure: format!(
            "median {:.2}, was {:.2} ({:.2}×); p95 {:.2}, was {:.2} ({:.2}×)",
            during.median,
            before.median,
            during.median / before.median,
            during.p95,
            before.p95,
            during.p95 / before.p95
        ),
        peer: String::new(),
        judged: None,
    });
    gateway.stop().await.map(drop)
}

/// How long something took, ms.
struct Times {
    median: f64,
    p95: f64,
}

impl Times {
    fn of(mut all: Vec<f64>) -> Self {
        all.sort_unstable_by(f64::total_cmp);
        let at = |hundredths: usize| all.get(all.len() * hundredths / 100).copied().unwrap_or_default();
        Self { median: at(50), p95: at(95) }
    }
}

/// How long it takes to request a ride and to call it off, ms, until `time` is over or nothing goes on any more.
async fn probe(client: &Client, first: usize, time: Duration, under: &AtomicBool) -> Result<Vec<f64>, String> {
    let began = clock::now();
    let is_about_a_scan = under.load(Ordering::Relaxed);
    let (mut taken, mut number) = (Vec::new(), 1_000 + first);
    while began.elapsed() < time && (under.load(Ordering::Relaxed) == is_about_a_scan || taken.is_empty()) {
        for passenger in client.passengers(number, PROBES).await? {
            let asked = clock::now();
            let ride = client.request(std::slice::from_ref(&passenger), 1).await?;
            client.cancel(&ride).await?;
            taken.push(asked.elapsed().as_secs_f64() * 1000.0);
            tokio::time::sleep(PROBE_EVERY).await;
        }
        number += PROBES * 2;
    }
    Ok(taken)
}

/// Scans of one gateway.
pub(crate) struct Scans {
    http: reqwest::Client,
    base: String,
}

/// What a scan said.
pub(crate) struct Scan {
    seconds: f64,
    /// Drivers who accepted rides, by the rides' logs.
    pub(crate) acceptances: u64,
    /// Rows of the driver index.
    pub(crate) rows: u64,
    /// What is in one of both only.
    pub(crate) mismatches: u64,
}

impl Scans {
    /// Of this gateway.
    ///
    /// # Errors
    /// The HTTP library cannot start.
    pub(crate) fn new(gateway: &Gateway) -> Result<Self, String> {
        let http = reqwest::Client::builder().no_proxy().build().map_err(|error| error.to_string())?;
        Ok(Self { http, base: format!("http://{}", gateway.internal) })
    }

    /// From its beginning to its end.
    ///
    /// # Errors
    /// It cannot be begun, or does not end.
    pub(crate) async fn scan(&self) -> Result<Scan, String> {
        let began = clock::now();
        let begun = self.ask(self.http.post(format!("{}{SCANS}", self.base))).await?;
        let id = begun["id"].as_str().ok_or("a scan without an id")?.to_owned();
        loop {
            let scan = self.ask(self.http.get(format!("{}{SCANS}/{id}", self.base))).await?;
            if scan["state"] == "finished" {
                let count = |value: &Value| value.as_u64().unwrap_or(u64::MAX);
                let kinds = ["missing_index", "stale_index", "in_doubt"];
                return Ok(Scan {
                    seconds: began.elapsed().as_secs_f64(),
                    acceptances: count(&scan["acceptances"]),
                    rows: count(&scan["index_rows"]),
                    mismatches: kinds.iter().map(|kind| count(&scan["mismatches"][kind])).sum(),
                });
            }
            if began.elapsed() > PATIENCE {
                return Err(format!("the scan does not end: {scan}"));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn ask(&self, request: reqwest::RequestBuilder) -> Result<Value, String> {
        let response = request.bearer_auth(TOKEN).send().await.map_err(|error| error.without_url().to_string())?;
        let status = response.status();
        let body = response.text().await.map_err(|error| error.without_url().to_string())?;
        if !status.is_success() {
            return Err(format!("{status}: {body}"));
        }
        serde_json::from_str(&body).map_err(|error| format!("{error}: {body}"))
    }
}

/// Makes the tables of a store.
///
/// # Errors
/// What the gateway said.
pub(crate) async fn migrate(places: &Places, folder: &Path, dsns: &str) -> Result<(), String> {
    let mut command = Command::new(&places.gateway);
    command.arg("migrate").current_dir(folder).env("GATEWAY__STORE__SHARDS", dsns).stdin(Stdio::null());
    let output = command.output().await.map_err(|error| error.to_string())?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("migrating: {}", String::from_utf8_lossy(&output.stderr))),
    }
}
