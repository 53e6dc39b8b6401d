//! When the server is killed, and who kills it and starts it again.

use std::{
    ops::Range,
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::sync::watch;

use crate::{client::Client, outage::Why, promises::Kind, server::Server};

/// From a start of the server to a kill in the middle of that start (it takes some 15 ms), microseconds.
const WITHIN_START_US: Range<u64> = 0..25_000;
/// To a kill soon after it.
const SOON_US: Range<u64> = 25_000..1_000_000;
/// To any other. What a killed relay had in hand waits 6 s for another process: most gaps are about as long, so that
/// deliveries go on, and many are shorter, so that some are interrupted again.
const LATER_US: Range<u64> = 2_000_000..10_000_000;

/// When a kill is due.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub(crate) enum Due {
    /// When so many trips have ended.
    Trips(usize),
    /// So long after the last start began.
    After(Duration),
}

/// At these shares of `trips`.
pub(crate) fn at_shares(shares: &[f64], trips: usize) -> Vec<Due> {
    let mut counts: Vec<usize> = shares.iter().map(|share| (share * trips as f64).ceil() as usize).collect();
    counts.sort_unstable();
    counts.into_iter().map(Due::Trips).collect()
}

/// `count` kills at random moments.
pub(crate) fn at_random(count: u32, seed: u64) -> Vec<Due> {
    let mut rng = StdRng::seed_from_u64(seed);
    let draw = |_| {
        let gap = match rng.random_range(0..10) {
            0 => WITHIN_START_US,
            1 => SOON_US,
            _ => LATER_US,
        };
        Due::After(Duration::from_micros(rng.random_range(gap)))
    };
    (0..count).map(draw).collect()
}

/// How long the trips must go on for all kills to find some under way.
pub(crate) fn span(kills: &[Due]) -> Duration {
    let gaps = kills.iter().map(|kill| if let Due::After(gap) = kill { *gap } else { Duration::ZERO });
    gaps.sum()
}

/// Kills the server when a kill is due and starts it again; notices when it ends by itself. Returns when all trips are
/// over and the server is ready.
pub(crate) async fn attend(client: &Client, kills: &[Due], server: &mut Server, mut ended: watch::Receiver<usize>) {
    if let Err(detail) = keep_killing(client, kills, server, &mut ended).await {
        client.promises.broken(Kind::ServerProcess, None, detail);
        client.halt.stop(Why::ServerGone);
    }
    let (asked, happened) = (kills.len(), client.outages.count());
    if happened < asked && client.halt.why() != Some(Why::Interrupted) {
        client.promises.broken(Kind::TooFewKills, None, format!("{happened} of {asked} kills happened"));
    }
}

async fn keep_killing(
    client: &Client,
    kills: &[Due],
    server: &mut Server,
    ended: &mut watch::Receiver<usize>,
) -> Result<(), String> {
    let mut kills = kills.iter();
    let mut next = kills.next();
    loop {
        let (since_start, is_ready) = (server.since_start(), server.is_ready);
        let news = async {
            match is_ready {
                true => Err(server.ended().await),
                false => server.until_ready().await,
            }
        };
        let over = tokio::select! {
            news = news => {
                news?;
                client.outages.end(Instant::now());
                continue;
            }
            due = wait(next, since_start, ended) => !due,
        };
        if over {
            break;
        }
        client.outages.begin(Instant::now());
        server.kill_and_start_again().await?;
        next = kills.next();
    }
    if !server.is_ready {
        server.until_ready().await?;
        client.outages.end(Instant::now());
    }
    Ok(())
}

/// Waits until the kill is due; `false` when all trips are over first.
async fn wait(kill: Option<&Due>, since_start: Duration, ended: &mut watch::Receiver<usize>) -> bool {
    // What a wait for a count gives is a lock on it: held over the kill it would stop the trips that count on.
    match kill {
        Some(Due::Trips(count)) => ended.wait_for(|ended| ended >= count).await.is_ok(),
        Some(Due::After(gap)) => tokio::select! {
            () = tokio::time::sleep(gap.saturating_sub(since_start)) => true,
            over = ended.wait_for(|_| false) => over.is_ok(),
        },
        None => ended.wait_for(|_| false).await.is_ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_kills_at_the_same_moments_some_of_them_during_a_start() {
        let kills = at_random(50, 1);
        assert_eq!(kills.len(), 50);
        assert_eq!(kills, at_random(50, 1));
        assert_ne!(kills, at_random(50, 2));
        let soon = kills.iter().filter(|kill| **kill < Due::After(Duration::from_micros(SOON_US.end))).count();
        assert!((3..=20).contains(&soon), "{soon} of 50");
        assert!((Duration::from_secs(150)..Duration::from_secs(400)).contains(&span(&kills)));
    }

    #[test]
    fn shares_of_the_trips_are_taken_in_order() {
        assert_eq!(at_shares(&[0.5, 0.101], 10), [Due::Trips(2), Due::Trips(5)]);
    }
}
