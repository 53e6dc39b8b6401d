//! What visitors notice of an attack on connections: the tail of their latency, alone and while it lasts.
//!
//! The gateway runs as it is shipped, every limit in place. Visitors come in an open loop (a request's time counts from when it
//! was due), so that a queue shows; who gets no answer counts with the whole time-out. Visitors and attack each have a
//! thread of this process: what the attack costs its sender is processor time that the gateway does not get, and part of
//! the figures on a small machine.

use std::time::Duration;

use clap::Args;

use crate::{
    client::Client,
    door_attacks::Attack,
    door_visitors::{Seen, Visitors},
    gateway::Gateway,
    main_flow::Places,
    report::{Report, Row, Spread},
    setting::Setting,
};

/// The tail during an attack, in tails without one.
const GOAL: f64 = 2.0;

/// What the gateway gets to see the beginning and the end of an attack.
const SETTLED: Duration = Duration::from_secs(2);
/// Visitors' tokens outlive the bench.
const LASTING: [(&str, &str); 1] = [("auth.access_ttl_s", "7200")];
/// Who visits; each far below what one passenger may do.
const VISITORS: usize = 20;

/// The options of `cargo xtask bench door`.
#[derive(Args)]
pub(crate) struct Options {
    /// Half a minute instead of some minutes, to see that everything still works: figures are rough and no goal is judged
    #[arg(long)]
    quick: bool,

    /// Only this attack; may be repeated
    #[arg(long, value_name = "ATTACK")]
    only: Vec<Attack>,
}

/// Measures, prints the table, writes it as JSON. `true` when every goal is met, or was not judged.
///
/// # Errors
/// Something could not be measured.
pub(crate) async fn run(options: &Options) -> Result<bool, String> {
    let places = Places::find()?;
    let mut report = Report::new(options.quick, Setting::describe(&places.data)?);
    let (rounds, time) = if options.quick { (1, Duration::from_secs(2)) } else { (3, Duration::from_secs(15)) };
    let gateway = Gateway::start_as_shipped(&places.gateway, &places.folder("door"), &LASTING).await?;
    let passengers = Client::new(gateway.url())?.passengers(0, VISITORS).await?;
    let visitors = Visitors::new(gateway.public(), passengers.iter().map(|passenger| passenger.token().to_owned()));
    // Caches, connections, the first of everything.
    visitors.come(time / 2).await?;
    for attack in Attack::ALL.iter().filter(|attack| options.only.is_empty() || options.only.contains(attack)) {
        let (mut alone, mut under_attack) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            alone.push(visitors.come(time).await?);
            let siege = attack.begin(gateway.public()).await?;
            // An attack that stands is measured, not how it is built up.
            tokio::time::sleep(SETTLED).await;
            under_attack.push(visitors.come(time).await?);
            report.note(format!("{}: {}", attack.name(), siege.end().await?));
            // Thousands of connections end now: that is not how visitors are alone.
            tokio::time::sleep(SETTLED).await;
        }
        report.add(row(*attack, &alone, &under_attack));
    }
    gateway.stop().await?;
    report.print();
    report.write(&places.out.join(if options.quick { "door-quick.json" } else { "door.json" }))?;
    Ok(options.quick || report.holds())
}

fn row(attack: Attack, alone: &[Seen], under_attack: &[Seen]) -> Row {
    let tails = |seen: &[Seen]| Spread::of(seen.iter().map(|seen| seen.p99_ms).collect());
    let (before, during) = (tails(alone), tails(under_attack));
    let ratio = during.median / before.median;
    let told = |seen: &[Seen], tail: Spread| {
        let middle = Spread::of(seen.iter().map(|seen| seen.p50_ms).collect());
        let failed: u64 = seen.iter().map(|seen| seen.failed).sum();
        let count: u64 = seen.iter().map(|seen| seen.count).sum();
        format!("p50 {:.2}, p99 {} ms, {failed} of {count} failed", middle.median, tail.text(2))
    };
    Row {
        what: format!("Visitors' p99 during {}", attack.name()),
        goal: format!("≤ {GOAL}× of p99 alone"),
        figure: format!("{ratio:.2}×; {}", told(under_attack, during)),
        peer: told(alone, before),
        judged: Some((ratio, GOAL)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tails_are_compared_by_their_medians() {
        let seen = |p99_ms| Seen { p50_ms: 1.0, p99_ms, failed: 0, count: 10 };
        let row = row(Attack::SlowHeads, &[seen(2.0), seen(9.0), seen(1.0)], &[seen(3.0), seen(4.0), seen(3.5)]);
        assert_eq!(row.judged, Some((1.75, GOAL)));
    }
}
