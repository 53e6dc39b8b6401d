//! Which statements the gateway really executes, read from its own log, so that the peer's list cannot drift away from it.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::Duration,
};

use serde_json::Value;

use crate::{
    client::Client,
    database::{self, Database},
    gateway::Gateway,
    statements,
};

/// Every statement goes to the log; nothing else does.
const LOGGED: [(&str, &str); 2] =
    [("GATEWAY__RUNTIME__LOG", "warn,sqlx::query=debug"), ("GATEWAY__RUNTIME__LOG_FORMAT", "json")];
/// Longer than the period of every background task that runs more than once in a measurement.
const IDLE: Duration = Duration::from_secs(6);
/// Time for the last statement to reach the log, also on a busy machine.
const LATE: Duration = Duration::from_secs(1);
/// Requests of each kind. Few enough that the write-ahead log is not begun anew meanwhile.
const REQUESTS: usize = 8;

/// Statement → how often.
pub(crate) type Counts = BTreeMap<String, usize>;

/// What a gateway did for one request of each kind.
pub(crate) struct Recorded {
    /// Where the recorded list and the peer's differ, in words; empty when they do not.
    pub(crate) differences: Vec<String>,
    /// Transactions that a POST and what follows it commit.
    pub(crate) commits_a_post: f64,
    /// The text that a POST keeps for replays.
    pub(crate) stored_answer: String,
}

/// Starts a gateway that logs its statements, requests and reads rides, and compares what it executed with what the
/// peer will.
///
/// # Errors
/// In words.
pub(crate) async fn record(binary: &Path, folder: &Path, settings: &[(&str, &str)]) -> Result<Recorded, String> {
    let settings: Vec<_> = settings.iter().copied().chain(LOGGED).collect();
    let gateway = Gateway::start(binary, folder, &settings).await?;
    let client = Client::new(gateway.url())?;
    let passengers = client.passengers(0, REQUESTS).await?;
    let database = Database::open(&gateway.database()).await?;

    let mut seen = gateway.log().len();
    let mut since = |log: String| {
        let new = executed(&log[seen..]);
        seen = log.len();
        new
    };
    since(gateway.log());
    tokio::time::sleep(IDLE).await;
    let background: BTreeSet<String> = since(gateway.log()).into_keys().collect();

    database.checkpoint().await?;
    let before = database::commits(&gateway.database())?;
    let rides = client.request(&passengers, 1).await?;
    database.settled().await?;
    tokio::time::sleep(LATE).await;
    let commits = database::commits(&gateway.database())? - before;
    let posts = since(gateway.log());
    client.read(&rides, REQUESTS, 1).await?;
    tokio::time::sleep(LATE).await;
    let gets = since(gateway.log());

    let mut differences = compare("POST /v1/rides", &posts, &statements::listed(statements::POST), &background);
    differences.extend(compare("GET /v1/rides/{id}", &gets, &statements::listed(statements::GET), &background));
    let stored_answer = database.stored_answer().await?;
    database.close().await;
    gateway.stop().await?;
    Ok(Recorded { differences, commits_a_post: commits as f64 / REQUESTS as f64, stored_answer })
}

/// The statements in these lines of the log.
fn executed(lines: &str) -> Counts {
    let mut counts = Counts::new();
    for line in lines.lines() {
        let Ok(entry) = serde_json::from_str::<Value>(line) else { continue };
        // A statement of four words or fewer is its own summary.
        let full = entry["db.statement"].as_str().filter(|text| !text.trim().is_empty());
        if let Some(statement) = full.or(entry["summary"].as_str()) {
            *counts.entry(normal(statement)).or_default() += 1;
        }
    }
    counts
}

/// One blank between words.
fn normal(statement: &str) -> String {
    statement.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Differences between what was recorded for [`REQUESTS`] requests and what the peer executes for each. Statements that
/// an idle gateway executes as well are not the requests' own.
fn compare(call: &str, recorded: &Counts, peer: &[&str], background: &BTreeSet<String>) -> Vec<String> {
    let mut expected = Counts::new();
    for statement in peer {
        *expected.entry(normal(statement)).or_default() += REQUESTS;
    }
    let names: BTreeSet<&String> = recorded.keys().chain(expected.keys()).collect();
    let own = names.into_iter().filter(|name| expected.contains_key(*name) || !background.contains(*name));
    own.filter_map(|name| {
        let times = |counts: &Counts| counts.get(name).copied().unwrap_or(0) as f64 / REQUESTS as f64;
        let (gateway, peer) = (times(recorded), times(&expected));
        (gateway != peer).then(|| format!("{call}: gateway {gateway} times, peer {peer} times: {name}"))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_read_from_the_log_short_and_long() {
        let log = "not json\n\
            {\"summary\":\"SELECT a FROM b …\",\"db.statement\":\"\\n\\nSELECT a FROM  b WHERE c = ?\\n\"}\n\
            {\"summary\":\"DELETE FROM a\",\"db.statement\":\"\"}\n{\"message\":\"other\"}\n\
            {\"summary\":\"DELETE FROM a\",\"db.statement\":\"\"}\n";
        let expected = [("DELETE FROM a", 2), ("SELECT a FROM b WHERE c = ?", 1)];
        assert_eq!(executed(log), expected.map(|(statement, times)| (statement.to_owned(), times)).into());
    }

    #[test]
    fn a_statement_that_only_one_side_executes_is_a_difference_and_background_work_is_not() {
        let recorded: Counts = [("A".to_owned(), REQUESTS), ("B".to_owned(), 1), ("C".to_owned(), 3)].into();
        let background = BTreeSet::from(["C".to_owned()]);
        assert!(compare("x", &[("A".to_owned(), REQUESTS)].into(), &["A"], &background).is_empty());
        let differences = compare("x", &recorded, &["A", "D"], &background);
        assert_eq!(differences.len(), 2, "{differences:?}");
        assert!(differences[0].contains("gateway 0.125 times, peer 0 times: B"), "{differences:?}");
        assert!(differences[1].contains("gateway 0 times, peer 1 times: D"), "{differences:?}");
    }
}
