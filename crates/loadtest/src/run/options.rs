//! What a person may ask of `loadtest run`.

use std::{path::PathBuf, sync::LazyLock};

use clap::Args;

use super::{checks::Check, figures};
use crate::options::{loopback, positive};

/// The options of `loadtest run`.
#[derive(Args, Clone)]
#[command(after_long_help = FIGURES.as_str())]
pub(crate) struct RunOptions {
    /// A scenario by its name, or a file of one
    #[arg(required_unless_present = "list")]
    pub(crate) scenario: Option<String>,

    /// Name the scenarios inside, and what each shows
    #[arg(long)]
    pub(crate) list: bool,

    /// The gateway's public listener; it must be on this machine (IPv4)
    #[arg(long, value_parser = loopback, default_value = "http://127.0.0.1:8080", conflicts_with = "server")]
    pub(crate) url: String,

    /// Start this `passenger-gateway` on free ports in a private temporary folder, and stop it at the end
    #[arg(long, value_name = "BINARY")]
    pub(crate) server: Option<PathBuf>,

    /// The internal listener of the gateway at --url: its policies and metrics are read. Its token is taken from
    /// LOADTEST_INTERNAL_TOKEN; without it, the local profile's
    #[arg(long, value_parser = loopback, value_name = "URL", conflicts_with = "server")]
    pub(crate) internal: Option<String>,

    /// The process of the gateway at --url: its CPU and memory are measured
    #[arg(long, conflicts_with = "server")]
    pub(crate) pid: Option<u32>,

    /// Requests a second that a rate of 1 stands for. Without it, with --server, the capacity is measured first
    #[arg(long, value_name = "PER_SECOND", value_parser = positive)]
    pub(crate) rate: Option<f64>,

    /// Make the schedule as long as this
    #[arg(long, value_parser = positive)]
    pub(crate) seconds: Option<f64>,

    /// Passengers who are signed in before it begins, instead of the scenario's number
    #[arg(long)]
    pub(crate) passengers: Option<u32>,

    /// Keys to spray, instead of the scenario's number
    #[arg(long)]
    pub(crate) keys: Option<u64>,

    /// What is drawn at random follows from this number
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,

    /// Keep the server on one core and this tool on another; needs --server, two cores and `taskset`
    #[arg(long, requires = "server")]
    pub(crate) pin: bool,

    /// The control experiment: the same against a server of which the shedding is off and the quotas are huge
    #[arg(long, requires = "server")]
    pub(crate) control: bool,

    /// Fail (exit code 1) unless this holds: a figure (see below), <= >= < or >, and a number. May be repeated; the
    /// scenario's own checks are left out then
    #[arg(long, value_name = "CHECK")]
    pub(crate) check: Vec<Check>,

    /// Seconds after which everything stops by itself, preparation and all
    #[arg(long, value_name = "SECONDS", default_value_t = 900, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) deadline: u64,

    /// Write the outcome as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    /// Write the report as one HTML file
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
}

/// The options of `loadtest report`.
#[derive(Args, Clone)]
pub(crate) struct ReportOptions {
    /// What `loadtest run --json` wrote
    pub(crate) file: PathBuf,

    /// Where the report goes
    #[arg(long, value_name = "FILE")]
    pub(crate) html: PathBuf,
}

/// The figures that checks are about, for the help.
static FIGURES: LazyLock<String> = LazyLock::new(|| {
    let line = |known: &figures::Known| format!("  {:<19} {:<6} {}\n", known.name, known.unit, known.about);
    let lines: String = figures::ALL.iter().map(line).collect();
    format!(
        "Figures for --check, with their units. \"At the peak\" is the scenario's phase with that role, else the whole run.\n{lines}"
    )
});
