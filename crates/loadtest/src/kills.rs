//! When the server is killed, and who kills it and starts it again.

use std::{
    ops::Range,
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::sync::watch;

use crate::{
    client::Client,
    options::{KillAt, Victim},
    outage::Why,
    promises::Kind,
    stage::Stage,
};

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
    /// When so many trips have ended, and whose.
    Trips(usize, Victim),
    /// So long after the last start began.
    After(Duration),
}

/// At these shares of `trips`.
pub(crate) fn at_shares(kills: &[KillAt], trips: usize) -> Vec<Due> {
    let due = |kill: &KillAt| ((kill.share * trips as f64).ceil() as usize, kill.who);
    let mut counts: Vec<_> = kills.iter().map(due).collect();
    counts.sort_by_key(|(count, _)| *count);
    counts.into_iter().map(|(count, who)| Due::Trips(count, who)).collect()
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

/// Kills whoever is due and starts it again; notices when it ends by itself. Returns when all trips are
/// over and the server is ready, with how many kills happened.
pub(crate) async fn attend(
    client: &Client,
    kills: &[Due],
    stage: &mut Stage,
    mut ended: watch::Receiver<usize>,
) -> usize {
    let mut happened = 0;
    if let Err(detail) = keep_killing(client, kills, stage, &mut ended, &mut happened).await {
        client.promises.broken(Kind::ServerProcess, None, detail);
        client.halt.stop(Why::ServerGone);
    }
    let asked = kills.len();
    if happened < asked && client.halt.why() != Some(Why::Interrupted) {
        client.promises.broken(Kind::TooFewKills, None, format!("{happened} of {asked} kills happened"));
    }
    happened
}

async fn keep_killing(
    client: &Client,
    kills: &[Due],
    stage: &mut Stage,
    ended: &mut watch::Receiver<usize>,
    happened: &mut usize,
) -> Result<(), String> {
    let mut kills = kills.iter();
    let mut next = kills.next();
    loop {
        let since_start = stage.server.since_start();
        let news = async {
            match stage.server.is_ready {
                true => Err(stage.server.ended().await),
                false => stage.server.until_ready().await,
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
        match next {
            Some(Due::Trips(_, Victim::Relay)) => stage.kill_relay().await?,
            Some(Due::Trips(_, Victim::Postgres)) => {
                client.outages.begin(Instant::now());
                stage.kill_postgres().await?;
            }
            _ => {
                client.outages.begin(Instant::now());
                stage.server.kill_and_start_again().await?;
            }
        }
        *happened += 1;
        next = kills.next();
    }
    if !stage.server.is_ready {
        stage.server.until_ready().await?;
        client.outages.end(Instant::now());
    }
    Ok(())
}

/// Waits until the kill is due; `false` when all trips are over first.
async fn wait(kill: Option<&Due>, since_start: Duration, ended: &mut watch::Receiver<usize>) -> bool {
    // What a wait for a count gives is a lock on it: held over the kill it would stop the trips that count on.
    match kill {
        Some(Due::Trips(count, _)) => ended.wait_for(|ended| ended >= count).await.is_ok(),
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
        let kills = ["0.5:postgres", "0.101", "0.3:relay"].map(|text| text.parse().unwrap());
        let due = [(2, Victim::Gateway), (3, Victim::Relay), (5, Victim::Postgres)];
        assert_eq!(at_shares(&kills, 10), due.map(|(count, who)| Due::Trips(count, who)));
        assert!("0.5:everybody".parse::<KillAt>().unwrap_err().contains("relay"));
    }
}
