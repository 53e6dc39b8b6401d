//! What a person may ask of `loadtest replay`.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use clap::Args;
use serde::Serialize;

use crate::server::Settings;

/// The options of `loadtest replay`.
#[derive(Args, Clone, Serialize)]
pub(crate) struct Options {
    /// The gateway's public listener; it must be on this machine
    #[arg(long, value_parser = loopback, default_value = "http://127.0.0.1:8080", conflicts_with = "server")]
    pub(crate) url: String,

    /// Start this `passenger-gateway` on free ports in a private temporary folder, and stop it at the end
    #[arg(long, value_name = "BINARY")]
    pub(crate) server: Option<PathBuf>,

    /// Keep the data of --server on so many private PostgreSQL servers, made for the replay and removed after it, instead of
    /// in a SQLite file. A second gateway is started on them, to which no passenger talks: it delivers what the first leaves
    #[arg(long, value_name = "SERVERS", requires = "server", value_parser = clap::value_parser!(u8).range(1..=8))]
    pub(crate) postgres: Option<u8>,

    /// How --server writes the driver index: outbox, two_phase or tcc
    #[arg(long, requires = "server")]
    pub(crate) strategy: Option<String>,

    /// Kill the server (SIGKILL) when this share of the trips has ended, and start it again; may be repeated. With
    /// --postgres it may be the second gateway, `0.4:relay`, or a PostgreSQL server, each in its turn, `0.6:postgres`
    #[arg(long, value_name = "SHARE[:WHO]", requires = "server")]
    pub(crate) kill_at: Vec<KillAt>,

    /// Kill the server (SIGKILL) so many times at random moments, some of them while it starts, and start it again on the
    /// same folder. The trips are spread over the time that this takes; fewer kills than asked for are a broken promise
    #[arg(long, value_name = "N", requires = "server", conflicts_with_all = ["kill_at", "speed"],
        value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) kills: Option<u32>,

    /// How many trips to drive, drawn evenly over the day; without it 2000, with --kills 150 for each kill
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) count: Option<u32>,

    /// One passenger in N calls the ride off on the way; without it nobody, with --kills one in ten
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) cancel_every: Option<u32>,

    /// How many trips may be under way at once
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=5000))]
    pub(crate) concurrency: u32,

    /// Keep the day's rhythm, this many times faster; without it trips begin as soon as --concurrency allows
    #[arg(long, value_name = "FACTOR", value_parser = positive)]
    pub(crate) speed: Option<f64>,

    /// What is drawn at random (trips, products, stars) follows from this number
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,

    /// A file of trips, all within the served area, to use instead of the one inside this binary
    #[arg(long, value_name = "FILE")]
    pub(crate) trips: Option<PathBuf>,

    /// Drivers in the sandbox's fleet; without it one and a half per trip under way
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) drivers: Option<u32>,

    /// How much faster than in life the sandbox's drivers are
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) time_scale: u32,

    /// How likely a driver of the sandbox takes an offer, 0…1
    #[arg(long, default_value_t = 0.95, value_parser = share)]
    pub(crate) accept_probability: f64,

    /// Leave the sandbox's fleet as it is: rides may stay without a driver then, as long as one trip is completed.
    /// Otherwise at most one trip in a hundred may
    #[arg(long, conflicts_with_all = ["drivers", "time_scale", "accept_probability"])]
    pub(crate) keep_fleet: bool,

    /// Seconds after which the replay stops by itself
    #[arg(long, value_name = "SECONDS", default_value_t = 900, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) deadline: u64,

    /// Write the report as JSON too
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

impl Options {
    /// How many trips to drive.
    pub(crate) fn trip_count(&self) -> usize {
        let kills = self.kills.map(|kills| kills * 150);
        self.count.or(kills).unwrap_or(2000) as usize
    }

    /// Every so many passengers, one calls the ride off.
    pub(crate) fn cancel_every(&self) -> Option<usize> {
        self.cancel_every.or(self.kills.map(|_| 10)).map(|every| every as usize)
    }

    /// What a server of the replay's own is told: the fleet, so that it is the same after each start; and with kills at
    /// random moments a short life of access tokens, so that sign-ins are renewed between them.
    pub(crate) fn settings(&self) -> Settings {
        let mut settings = Settings::new();
        if !self.keep_fleet {
            settings.push(("GATEWAY__SANDBOX__DRIVERS".into(), self.fleet().to_string()));
            settings.push(("GATEWAY__SANDBOX__TIME_SCALE".into(), self.time_scale.to_string()));
            settings.push(("GATEWAY__SANDBOX__ACCEPT_PROBABILITY".into(), self.accept_probability.to_string()));
        }
        if let Some(strategy) = &self.strategy {
            settings.push(("GATEWAY__DRIVER_INDEX__STRATEGY".into(), strategy.clone()));
        }
        if self.kills.is_some() {
            settings.push(("GATEWAY__AUTH__ACCESS_TTL_S".into(), "60".to_owned()));
        }
        settings
    }

    /// Size of the fleet to ask the sandbox for.
    pub(crate) fn fleet(&self) -> u32 {
        self.drivers.unwrap_or_else(|| (self.concurrency + self.concurrency / 2).max(20))
    }

    /// How long a ride may take from its request to its end. Four minutes leave room for a match that is tried until
    /// its timeout and a driver who lets go; the way to the passenger and the trip are as long as the longest trip each.
    pub(crate) fn ride_bound(&self, longest_trip: Duration) -> Duration {
        match self.keep_fleet {
            true => Duration::from_secs(self.deadline),
            false => Duration::from_secs(240) + longest_trip * 2 / self.time_scale,
        }
    }
}

/// Who is killed, and when.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct KillAt {
    /// When this share of the trips has ended.
    pub(crate) share: f64,
    /// Who.
    pub(crate) who: Victim,
}

/// Who is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Victim {
    /// The gateway that passengers talk to.
    Gateway,
    /// The second gateway.
    Relay,
    /// A PostgreSQL server.
    Postgres,
}

impl std::str::FromStr for KillAt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, who) = text.split_once(':').unwrap_or((text, "gateway"));
        let who = match who {
            "gateway" => Victim::Gateway,
            "relay" => Victim::Relay,
            "postgres" => Victim::Postgres,
            _ => return Err(format!("nobody is called {who:?}: gateway, relay or postgres")),
        };
        Ok(Self { share: share(number)?, who })
    }
}

/// A plain-HTTP address of this machine, without path. The tool makes thousands of requests and reads SMS codes: it must
/// never be pointed at somebody else's machine by mistake.
pub(crate) fn loopback(text: &str) -> Result<String, String> {
    let url = reqwest::Url::parse(text).map_err(|e| e.to_string())?;
    let host = url.host_str().unwrap_or_default();
    let here = host == "localhost"
        || host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    if !here {
        return Err("only this machine is allowed: 127.0.0.0/8, localhost or [::1]".into());
    }
    if url.scheme() != "http" {
        return Err("only http:// is allowed".into());
    }
    if url.path() != "/" || url.query().is_some() || !url.username().is_empty() {
        return Err("give scheme, host and port only".into());
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (0.0..=1.0).contains(&value) => Ok(value),
        _ => Err("a number from 0 to 1".into()),
    }
}

pub(crate) fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() && value > 0.0 => Ok(value),
        _ => Err("a number above 0".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_address_of_this_machine_is_accepted() {
        for good in ["http://127.0.0.1:8080", "http://127.8.8.8:1", "http://localhost:9/", "http://[::1]:8080"] {
            assert!(loopback(good).is_ok(), "{good}");
        }
        for bad in [
            "http://example.com",
            "http://10.0.0.1:8080",
            "http://127.0.0.1.example.com",
            "http://localhost.example.com",
            "http://0.0.0.0:8080",
            "https://127.0.0.1",
            "http://127.0.0.1:8080/v1",
            "http://example.com@127.0.0.1:8080",
            "127.0.0.1:8080",
        ] {
            assert!(loopback(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_address_has_no_slash_at_its_end() {
        assert_eq!(loopback("http://localhost:9/").unwrap(), "http://localhost:9");
    }
}
