//! How long a driver who accepts a ride waits: the three strategies between two databases against one local transaction.

use std::path::PathBuf;

use clusters::{Binaries, Cluster};

use crate::{
    admission::dice::Dice,
    clock,
    data_partner::{Partner, RIDES},
    data_store::{Store, durable},
    main_flow::Places,
    report::{Report, Row, Spread},
    wal::Wal,
};

/// Where commits wait, and for how many microseconds longer than here.
const DISKS: [(&str, u32); 2] = [("this disk", 0), ("a disk of 5 ms", 5_000)];
/// As `driver_index.strategy` has them; each has a gateway and two databases of its own.
const STRATEGIES: [&str; 3] = ["outbox", "tcc", "two_phase"];
/// What is measured: its name, whose gateway, and whether driver and ride lie in different databases.
const SIDES: [(&str, usize, bool); 4] =
    [("one local transaction", 0, false), ("`outbox`", 0, true), ("`tcc`", 1, true), ("`two_phase`", 2, true)];
/// The first of them is what the others are compared with.
const LOCAL: usize = 0;
/// How many accept at once.
const CONCURRENCY: [usize; 2] = [1, 8];
/// Acceptances that nobody counts, for each side: every connection that eight at a time need is open afterwards.
const WARM_UP: usize = 64;
/// Those whose commits are counted.
const COUNTED: usize = 20;
/// Bare transactions that are timed.
const BARE: usize = 200;
/// What an acceptance may leave for a moment, whatever the strategy.
const LEFT: [&str; 3] = ["outbox", "transactions", "barriers"];

struct Size {
    rounds: usize,
    /// Acceptances of a round, by [`CONCURRENCY`].
    counts: [usize; 2],
}

/// Times of one side with one concurrency.
#[derive(Default)]
struct Figures {
    /// Each acceptance, ms.
    all: Vec<f64>,
    /// The median of each round, ms.
    medians: Vec<f64>,
}

/// On this machine's disk, and as if it were one that takes its time: a replicated block store.
///
/// # Errors
/// In words.
pub(crate) async fn run(places: &Places, quick: bool, report: &mut Report<Row>) -> Result<(), String> {
    let size = if quick { Size { rounds: 2, counts: [10, 24] } } else { Size { rounds: 10, counts: [100, 200] } };
    for (disk, slower_by_us) in DISKS {
        on_disk(places, disk, slower_by_us, &size, report).await?;
    }
    report.note(
        "A prototype of bare transactions with fsync saw outbox ×0.9, 2PC with last agent ×7, sequential 2PC with a separate \
         log ×12."
            .to_owned(),
    );
    Ok(())
}

/// All sides in random order, round by round.
async fn on_disk(
    places: &Places,
    disk: &str,
    slower_by_us: u32,
    size: &Size,
    report: &mut Report<Row>,
) -> Result<(), String> {
    let a_side = WARM_UP + COUNTED + size.rounds * size.counts.iter().sum::<usize>();
    let (binaries, clusters) = durable(2, slower_by_us)?;
    let mut stores = Vec::new();
    for strategy in STRATEGIES {
        stores.push(Store::make(places, &folder(places, strategy, disk), &clusters).await?);
    }
    let mut partners = Vec::new();
    for (strategy, store) in STRATEGIES.iter().zip(&stores) {
        let sides = if partners.is_empty() { 2 } else { 1 };
        partners.push(Partner::start(places, strategy, &folder(places, strategy, disk), store, a_side * sides).await?);
    }
    let mut figures: [[Figures; SIDES.len()]; CONCURRENCY.len()] = Default::default();
    for side in 0..SIDES.len() {
        measure(&mut partners, side, WARM_UP, 8).await?;
    }
    let mut dice = Dice::new(1);
    for round in 1..=size.rounds {
        for (place, concurrency) in CONCURRENCY.into_iter().enumerate() {
            for side in shuffled(&mut dice) {
                let times = measure(&mut partners, side, size.counts[place], concurrency).await?;
                let into = &mut figures[place][side];
                into.medians.push(percentile(&times, 50));
                into.all.extend(times);
            }
        }
        eprintln!("bench: acceptances, {disk}: round {round} of {}", size.rounds);
    }
    for (concurrency, sides) in CONCURRENCY.into_iter().zip(&figures) {
        add(report, disk, concurrency, sides);
    }
    note_commits(&mut partners, disk, &clusters, &binaries, report).await?;
    for partner in partners {
        partner.gateway.stop().await?;
    }
    Ok(())
}

/// What explains the figures: how often an acceptance waits for a disk, and how long that takes.
async fn note_commits(
    partners: &mut [Partner],
    disk: &str,
    clusters: &[Cluster],
    binaries: &Binaries,
    report: &mut Report<Row>,
) -> Result<(), String> {
    let mut logs = Vec::new();
    for cluster in clusters {
        logs.push((Wal::of(cluster, binaries).await?, String::new()));
    }
    let mut counts = Vec::new();
    for (side, (name, ..)) in SIDES.iter().enumerate() {
        for (log, end) in &mut logs {
            *end = log.end().await?;
        }
        measure(partners, side, COUNTED, 1).await?;
        let mut commits = 0;
        for (log, end) in &logs {
            commits += log.commits_since(end).await?;
        }
        counts.push(format!("{name} {:.1}", commits as f64 / COUNTED as f64));
    }
    report.note(format!(
        "Durable commits of an acceptance ({disk}), on both servers and with what is done once the driver has been told: {}.",
        counts.join(", ")
    ));
    let hand = &partners[0].hands[RIDES];
    hand.run("CREATE TABLE bench_commits (n integer)").await?;
    let mut times = Vec::new();
    for _ in 0..BARE {
        let began = clock::now();
        hand.run("INSERT INTO bench_commits VALUES (1)").await?;
        times.push(began.elapsed().as_secs_f64() * 1000.0);
    }
    let (p50, p99) = (percentile(&times, 50), percentile(&times, 99));
    report.note(format!("A bare transaction of one row ({disk}): p50 {p50:.2} ms, p99 {p99:.2} ms."));
    Ok(())
}

fn add(report: &mut Report<Row>, disk: &str, concurrency: usize, sides: &[Figures]) {
    let told = |side: &Figures| (percentile(&side.all, 50), percentile(&side.all, 99));
    let local = &sides[LOCAL];
    let (local_p50, local_p99) = told(local);
    let times = |p50: f64, p99: f64| format!("p50 {p50:.2} ms, p99 {p99:.2} ms");
    for ((name, ..), side) in SIDES.iter().zip(sides).skip(LOCAL + 1) {
        let (p50, p99) = told(side);
        let ratio = Spread::of(side.medians.iter().zip(&local.medians).map(|(side, local)| side / local).collect());
        report.add(Row {
            what: format!("Accepting a ride, {disk}, {concurrency} at a time: {name}"),
            goal: String::new(),
            figure: format!("{}×, p99 {:.2}×; {}", ratio.text(2), p99 / local_p99, times(p50, p99)),
            peer: format!("{}: {}", SIDES[LOCAL].0, times(local_p50, local_p99)),
            judged: None,
        });
    }
}

/// The sides in an order that nobody has chosen.
fn shuffled(dice: &mut Dice) -> [usize; SIDES.len()] {
    let mut order = std::array::from_fn(|side| side);
    for last in (1..order.len()).rev() {
        order.swap(last, dice.below(last as u64 + 1) as usize);
    }
    order
}

fn folder(places: &Places, strategy: &str, disk: &str) -> PathBuf {
    places.folder(&format!("accept-{strategy}-{}", disk.replace(' ', "-")))
}

/// Times of so many acceptances, ms; what they leave is done afterwards.
async fn measure(partners: &mut [Partner], side: usize, count: usize, concurrency: usize) -> Result<Vec<f64>, String> {
    let (name, partner, is_across) = SIDES[side];
    let partner = &mut partners[partner];
    let times = partner.accept(count, is_across, concurrency).await.map_err(|error| format!("{name}: {error}"))?;
    for hand in &partner.hands {
        hand.settled(&LEFT).await?;
    }
    Ok(times)
}

fn percentile(all: &[f64], hundredths: usize) -> f64 {
    let mut all = all.to_vec();
    all.sort_unstable_by(f64::total_cmp);
    let place = (all.len() * hundredths).div_ceil(100).saturating_sub(1);
    all.get(place).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_figure_that_was_seen() {
        let all: Vec<f64> = (1..=200).rev().map(f64::from).collect();
        assert_eq!((percentile(&all, 50), percentile(&all, 99)), (100.0, 198.0));
        assert_eq!(percentile(&[7.0], 99), 7.0);
    }
}
