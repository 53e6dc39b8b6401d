//! How fast a relay catches up: acceptances whose row of the driver index is still to be written, in another database each.

use std::time::Duration;

use clusters::{Binaries, Cluster};

use crate::{
    clock,
    data_scan::Scans,
    data_store::{Rides, State, Store, drivers, durable},
    gateway::Gateway,
    main_flow::Places,
    postgres::Hand,
    process::Process,
    report::{Report, Row, Spread},
    wal::Wal,
};

const DATABASES: usize = 3;
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// A relay that takes longer is not waited for.
const PATIENCE: Duration = Duration::from_secs(900);
/// What the gateway says of a delivery that is tried again.
const PUT_OFF: &str = "a partner failed, tried again later";

/// One drain.
struct Drain {
    seconds: f64,
    /// Messages a second until half of them were delivered, and then.
    halves: [f64; 2],
    /// Processor time of a message, ms: the gateway's and the servers'.
    cpu: [f64; 2],
    /// Durable commits of a message.
    commits: f64,
    /// Deliveries that failed, or took too long, and were made again.
    put_off: usize,
}

/// A few times, on new databases each.
///
/// # Errors
/// In words; also when the driver index is not what the rides' logs say afterwards.
pub(crate) async fn run(places: &Places, quick: bool, report: &mut Report<Row>) -> Result<(), String> {
    let (rounds, messages) = if quick { (1, 1_500) } else { (3, 20_000) };
    let (binaries, clusters) = durable(DATABASES, 0)?;
    let mut drains = Vec::new();
    for round in 1..=rounds {
        let drain = drain(places, &format!("drain-{round}"), &binaries, &clusters, messages).await?;
        eprintln!("bench: drain {round} of {rounds}: {messages} messages in {:.1} s", drain.seconds);
        drains.push(drain);
    }
    let spread = |of: fn(&Drain) -> f64| Spread::of(drains.iter().map(of).collect());
    let seconds = spread(|drain| drain.seconds);
    let rate = Spread::of(drains.iter().map(|drain| f64::from(messages) / drain.seconds).collect());
    report.add(Row {
        what: format!(
            "Outbox of {messages} rows for the driver index, {DATABASES} × PostgreSQL, drained by a fresh gateway"
        ),
        goal: String::new(),
        figure: format!("{} messages a second; empty after {} s", rate.text(0), seconds.text(1)),
        peer: String::new(),
        judged: None,
    });
    report.add(Row {
        what: "CPU of a message that is caught up with".to_owned(),
        goal: String::new(),
        figure: format!(
            "{} ms of the gateway, {} ms of PostgreSQL; {:.2} durable commits",
            spread(|drain| drain.cpu[0]).text(2),
            spread(|drain| drain.cpu[1]).text(2),
            spread(|drain| drain.commits).median
        ),
        peer: String::new(),
        judged: None,
    });
    report.note(format!(
        "Messages a second of a drain: {} for the first half of them, {} for the second. Deliveries that were put off: {}.",
        spread(|drain| drain.halves[0]).text(0),
        spread(|drain| drain.halves[1]).text(0),
        spread(|drain| drain.put_off as f64).text(0)
    ));
    Ok(())
}

async fn drain(
    places: &Places,
    name: &str,
    binaries: &Binaries,
    clusters: &[Cluster],
    messages: u32,
) -> Result<Drain, String> {
    let folder = places.folder(name);
    let store = Store::make(places, &folder, clusters).await?;
    let (now_ms, part) = (clock::unix_ms(), messages / DATABASES as u32);
    let (mut hands, mut logs, mut servers, mut seeded) = (Vec::new(), Vec::new(), Vec::new(), 0);
    for (place, cluster) in clusters.iter().enumerate() {
        // The first ones have one more each, where it does not come out even.
        let count = part + u32::from((place as u32) < messages % DATABASES as u32);
        let elsewhere = State::Accepted(drivers(DATABASES, |there| there != place));
        store.fill(place, &Rides::new(count, (place, DATABASES), now_ms), &elsewhere)?;
        seeded += count;
        hands.push(Hand::open(&store.databases()[place].dsn()).await?);
        logs.push((Wal::of(cluster, binaries).await?, String::new()));
        servers.push(Process::new(cluster.process_id().ok_or("a server is gone")?)?);
    }
    for (log, end) in &mut logs {
        *end = log.end().await?;
    }
    let of_servers = || servers.iter().map(Process::familys_cpu).sum::<Result<Duration, String>>();
    let before = of_servers()?;
    let dsns = store.dsns();
    let settings = [("GATEWAY__STORE__SHARDS", &*dsns), ("GATEWAY__SANDBOX__ENABLED", "false")];
    let gateway = Gateway::start(&places.gateway, &folder, &settings).await?;
    let (ready, before_ready) = (clock::now(), gateway.ready_after);
    let mut half = None;
    let seconds = loop {
        let mut left = 0;
        for hand in &hands {
            left += hand.number("SELECT count(*) FROM outbox").await?;
        }
        let passed = (ready.elapsed() + before_ready).as_secs_f64();
        if left * 2 <= i64::from(seeded) && half.is_none() {
            half = Some((passed, f64::from(seeded) - left as f64));
        }
        if left == 0 {
            break passed;
        }
        if ready.elapsed() > PATIENCE {
            return Err(format!("{left} of {seeded} messages are still there: {}", gateway.log()));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    };
    let cpu = [gateway.process.cpu()?, of_servers()?.saturating_sub(before)];
    let mut commits = 0;
    for (log, end) in &logs {
        commits += log.commits_since(end).await?;
    }
    let scan = Scans::new(&gateway)?.scan().await?;
    let expected = (u64::from(seeded), u64::from(seeded), 0);
    if (scan.acceptances, scan.rows, scan.mismatches) != expected {
        let (acceptances, rows, mismatches) = (scan.acceptances, scan.rows, scan.mismatches);
        return Err(format!("{seeded} acceptances: a scan says {acceptances}, {rows} rows, {mismatches} mismatches"));
    }
    let log = gateway.log();
    gateway.stop().await?;
    let (half, of_half) = half.unwrap_or((seconds, f64::from(seeded)));
    let all = f64::from(seeded);
    Ok(Drain {
        seconds,
        halves: [of_half / half, (all - of_half) / (seconds - half)],
        cpu: cpu.map(|cpu| cpu.as_secs_f64() * 1000.0 / all),
        commits: commits as f64 / all,
        put_off: log.matches(PUT_OFF).count(),
    })
}
