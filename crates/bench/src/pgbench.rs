//! pgbench, PostgreSQL's own load tool: as little between statements and server as there can be.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use clusters::Binaries;
use reqwest::Url;
use tokio::process::Command;

use crate::{clock, data_script::Script, data_seed::EPOCH_MS};

/// A run that takes longer has got stuck.
const PATIENCE: Duration = Duration::from_secs(600);

/// Passengers with a quote each that pgbench requests rides for. It has no lists, but it can count: their ids are
/// computed from their numbers.
#[derive(Clone, Copy)]
pub(crate) struct Peers {
    /// How many; fewer than a million.
    pub(crate) count: u32,
    /// When the first one was made, milliseconds since 1970; the others a millisecond later each.
    pub(crate) first_ms: i64,
}

impl Peers {
    /// The same in a script: ids from the time, 12 more bits and the shard.
    pub(crate) const ARITHMETIC: &str = "\\set number :from + :client_id * :each + :done\n\
        \\set done :done + 1\n\
        \\set shard :number % 1024\n\
        \\set passenger (:first + :number) * 4194304 + :shard\n\
        \\set quote :passenger + 1024\n\
        \\set ride :passenger + 2048\n\
        \\set now :began + :number\n";

    fn first(&self) -> i64 {
        self.first_ms - EPOCH_MS
    }

    /// Makes them: like those that are there, with a copy of one of their quotes.
    pub(crate) fn insert(&self) -> String {
        let (shard, id) = ("(i % 1024)", format!("(({} + i) * 4194304 + i % 1024)", self.first()));
        let series = format!("WITH n(i) AS (SELECT generate_series(0, {}::bigint)) ", i64::from(self.count) - 1);
        format!(
            "{series}INSERT INTO passengers (shard, id, phone_hmac, phone) \
             SELECT {shard}, {id}, sha256(('peer ' || i)::bytea), '+1213' || lpad(i::text, 7, '0') FROM n; \
             {series}INSERT INTO quotes (shard, id, passenger_id, pickup_lat, pickup_lng, dropoff_lat, dropoff_lng, distance_m, \
             duration_s, options, expires_at) \
             SELECT {shard}, {id} + 1024, {id}, q.pickup_lat, q.pickup_lng, q.dropoff_lat, q.dropoff_lng, q.distance_m, \
             q.duration_s, q.options, q.expires_at FROM n, (SELECT * FROM quotes LIMIT 1) AS q"
        )
    }
}

/// pgbench on one database.
pub(crate) struct Pgbench {
    program: PathBuf,
    file: PathBuf,
    url: Url,
    given: Vec<String>,
    /// Peers that have a ride.
    used: AtomicUsize,
}

impl Pgbench {
    /// With this script.
    ///
    /// # Errors
    /// The script cannot be written.
    pub(crate) fn new(
        binaries: &Binaries,
        dsn: &str,
        script: &Script,
        folder: &Path,
        peers: &Peers,
    ) -> Result<Self, String> {
        let (program, file) = (binaries.folder().join("pgbench"), folder.join("rides.sql"));
        if !program.is_file() {
            return Err("there is no pgbench beside PostgreSQL's other programs".to_owned());
        }
        fs::create_dir_all(folder).and_then(|()| fs::write(&file, &script.text)).map_err(|e| e.to_string())?;
        // What went wrong is not repeated: it has a password.
        let url = Url::parse(dsn).map_err(|_| "not a DSN".to_owned())?;
        let numbers = [("first", peers.first()), ("began", clock::unix_ms()), ("done", 0)];
        let numbers = numbers.into_iter().map(|(name, number)| format!("--define={name}={number}"));
        let constants = script.constants.iter().map(|(name, value)| format!("--define={name}={value}"));
        Ok(Self { program, file, url, given: numbers.chain(constants).collect(), used: AtomicUsize::new(0) })
    }

    /// So many requests by so many clients, the same number each; how many a second, without connecting.
    ///
    /// # Errors
    /// What pgbench said; also when a transaction failed.
    pub(crate) async fn run(&self, requests: usize, clients: usize) -> Result<f64, String> {
        let each = requests / clients;
        let from = self.used.fetch_add(each * clients, Ordering::Relaxed);
        let mut command = Command::new(&self.program);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PG")) {
            command.env_remove(name);
        }
        command.args(["--no-vacuum", "--protocol=prepared", "--jobs=1"]);
        command.args([format!("--client={clients}"), format!("--transactions={each}")]).arg("--file").arg(&self.file);
        command.args([format!("--define=from={from}"), format!("--define=each={each}")]).args(&self.given);
        command.args(["--host", self.url.host_str().unwrap_or_default(), "--username", self.url.username()]);
        command.args(["--port", &self.url.port().unwrap_or_default().to_string(), self.url.path().trim_matches('/')]);
        // Not among the arguments: everybody may read those of any process.
        command.env("PGPASSWORD", self.url.password().unwrap_or_default()).stdin(Stdio::null()).kill_on_drop(true);
        let output = tokio::time::timeout(PATIENCE, command.output()).await.map_err(|_| "pgbench does not end")?;
        let output = output.map_err(|error| format!("pgbench: {error}"))?;
        let (said, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        match per_second(&said) {
            Some(per_second) if output.status.success() && said.contains(&format!(": {0}/{0}", each * clients)) => {
                Ok(per_second)
            }
            _ => Err(format!("pgbench ended with {}: {said}\n{told}", output.status)),
        }
    }
}

/// `tps = 1234.5 (without initial connection time)`.
fn per_second(said: &str) -> Option<f64> {
    let line = said.lines().find_map(|line| line.strip_prefix("tps = "))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figure_without_connecting_is_taken() {
        let said =
            "number of transactions actually processed: 8/8\ntps = 1234.500000 (without initial connection time)\n";
        assert_eq!(per_second(said), Some(1234.5));
        assert_eq!(per_second("tps is unknown"), None);
    }
}
