//! Admission control, row by row of the table in the design: each figure against its peer in the same run.

mod bare;
mod cores;
mod decision;
pub(crate) mod dice;
mod exact;
mod generator;
mod keys;
mod limiter;
mod nginx;
mod pause;
mod requests;
mod scenario;
mod side;
mod table;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};

use crate::{main_flow::Places, setting::Setting};
use cores::Cores;
use requests::Accepted;
use table::Table;

/// The options of `cargo xtask bench traffic`.
#[derive(Args)]
pub(crate) struct Options {
    /// A minute or two, to see that everything still works: figures are rough and nothing is judged
    #[arg(long)]
    quick: bool,

    /// Only this row; may be repeated
    #[arg(long, value_name = "ROW")]
    only: Vec<Part>,

    /// After a row of requests, three seconds of it under `perf record`: `target/bench/traffic-<row>.perf.data`
    #[arg(long)]
    profile: bool,
}

/// What can be measured alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// CPU of a 429 against nginx
    Refusal,
    /// CPU of an accepted request against a bare server
    Accepted,
    /// The same with a token
    Token,
    /// One decision against governor and limitador
    Decision,
    /// A million keys: memory and pauses
    Keys,
    /// Over-admission by many threads
    Exact,
    /// Ten times what it can do: goodput, priority 0, recovery
    Spike,
    /// One key at a hundred times its share
    HotKey,
    /// Refused clients that come back
    RetryStorm,
}

/// What the rows have in common.
struct Run {
    quick: bool,
    profile: bool,
    /// Rounds of whatever is measured in rounds.
    rounds: usize,
    cores: Cores,
    places: Places,
    /// This binary.
    own: PathBuf,
}

/// Measures, prints the table, writes it as JSON. `true` when every bar holds, or nothing was judged.
///
/// # Errors
/// Something could not be measured.
pub(crate) async fn run(options: &Options) -> Result<bool, String> {
    let places = Places::find()?;
    // Before this process is held to one core: it says how many the machine has.
    let mut table = Table::new(options.quick, Setting::describe(&places.data)?);
    let cores = Cores::find()?;
    cores.take_the_drivers()?;
    let own = std::env::current_exe().map_err(|e| e.to_string())?;
    let rounds = if options.quick { 2 } else { 10 };
    let run = Run { quick: options.quick, profile: options.profile, rounds, cores, places, own };
    let mut failed = Vec::new();
    for part in Part::value_variants() {
        if !options.only.is_empty() && !options.only.contains(part) {
            continue;
        }
        // A run takes long: what is measured is shown, whatever became of the rest.
        if let Err(why) = run.part(*part, &mut table).await {
            eprintln!("bench: {part:?} could not be measured: {why}");
            failed.push(format!("{part:?}: {why}"));
        }
    }
    table.print();
    let file = if options.quick { "traffic-quick.json" } else { "traffic.json" };
    table.write(&run.places.out.join(file))?;
    if !failed.is_empty() {
        return Err(format!("not everything could be measured: {}", failed.join("; ")));
    }
    Ok(options.quick || table.holds())
}

impl Run {
    async fn part(&self, part: Part, table: &mut Table) -> Result<(), String> {
        match part {
            Part::Refusal => requests::refusal(self, table).await,
            Part::Accepted => requests::accepted(self, Accepted::Anonymous, table).await,
            Part::Token => requests::accepted(self, Accepted::WithToken, table).await,
            Part::Decision => decision::measure(self, &self.limitador()?, table).await,
            Part::Keys => keys::measure(self, table).await,
            Part::Exact => exact::measure(self, table).await,
            Part::Spike => scenario::spike(self, table).await,
            Part::HotKey => scenario::hot_key(self, table).await,
            Part::RetryStorm => scenario::retry_storm(self, table).await,
        }
    }

    fn limitador(&self) -> Result<PathBuf, String> {
        let path = self.own.parent().unwrap_or(Path::new(".")).join("limitador-peer");
        if path.is_file() { Ok(path) } else { Err("limitador-peer is not built; use `cargo xtask bench`".to_owned()) }
    }
}

/// The processes that the bench starts from its own binary.
#[derive(Subcommand)]
pub(crate) enum SideCommand {
    /// A bare server; the bench starts it itself
    #[command(hide = true)]
    Bare(bare::Options),
    /// Decides when told to; the bench starts it itself
    #[command(hide = true)]
    Decide(decision::Options),
    /// Holds many keys; the bench starts it itself
    #[command(hide = true)]
    Keys(keys::Options),
    /// Hammers one key; the bench starts it itself
    #[command(hide = true)]
    Hammer(exact::Options),
}

impl SideCommand {
    /// Does what the process is for.
    ///
    /// # Errors
    /// In words.
    pub(crate) async fn run(&self) -> Result<(), String> {
        match self {
            Self::Bare(options) => bare::run(options).await,
            Self::Decide(options) => decision::run(options),
            Self::Keys(options) => keys::run(options),
            Self::Hammer(options) => exact::run(options),
        }
    }
}
