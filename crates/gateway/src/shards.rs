//! `passenger-gateway shards show|add|move`: where the shards lie, from a terminal. Gateways go on meanwhile.

use std::{
    collections::BTreeSet,
    error::Error,
    fmt::Write as _,
    io::{IsTerminal as _, Write as _},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use clap::Subcommand;
use entity::{
    Shards, StoreConfig,
    store::{
        Deps,
        moving::{Checksum, Failed, Moved, Plan, Progress},
        show::Shown,
    },
    value::Shard,
};
use prometheus::Registry;
use runtime::{Entropy, task::Supervisor};

use crate::{print, settings::Settings, signals::StopSignals};

/// What stopping may take: at most the step of a move that is under way.
const STOP_WITHIN: Duration = Duration::from_secs(1);

/// What can be done about shards.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Which database holds what, and which moves were not brought to an end. Nothing is written
    Show,
    /// Make the databases that are new at the end of store.shards part of the store. They hold no shard until one is moved there
    Add,
    /// Move shards to another database while passengers ride. Said again, it goes on where it was cut off
    Move {
        /// Numbers from 0 to 1023, or ranges: 17 100-120
        #[arg(required = true, value_name = "SHARDS", value_parser = range)]
        shards: Vec<(u16, u16)>,
        /// The number of the database, as `shards show` has it
        #[arg(long, value_name = "DATABASE", value_parser = clap::value_parser!(u8).range(1..=64))]
        to: u8,
        /// How long writes to a shard may wait, milliseconds
        #[arg(long, value_name = "MS", default_value_t = 900, value_parser = clap::value_parser!(u16).range(300..=2_500))]
        pause_ms: u16,
        /// How long the rows stay where they were, for readers that are late, seconds
        #[arg(long, value_name = "S", default_value_t = 15, value_parser = clap::value_parser!(u16).range(5..=3_600))]
        keep_s: u16,
    },
}

fn range(text: &str) -> Result<(u16, u16), String> {
    let number = |text: &str| text.parse().ok().filter(|number| *number < Shard::COUNT);
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => Ok((first, last)),
        _ => Err("a shard is a number from 0 to 1023, a range two of them: 100-120".to_owned()),
    }
}

/// Does it, until the end or a stop signal.
///
/// # Errors
/// In words, with what is where.
pub(crate) async fn run(settings: Settings, command: Command) -> Result<ExitCode, Box<dyn Error>> {
    match command {
        Command::Show => print(&shown(&settings.store.show().await?))?,
        Command::Add => add(settings.store).await?,
        Command::Move { shards, to, pause_ms, keep_s } => {
            let numbers: BTreeSet<u16> = shards.iter().flat_map(|(first, last)| *first..=*last).collect();
            let plan = |shard| Plan {
                shard,
                to: usize::from(to) - 1,
                pause: Duration::from_millis(pause_ms.into()),
                keep: Duration::from_secs(keep_s.into()),
            };
            move_all(settings.store, numbers.into_iter().filter_map(Shard::new).map(plan).collect()).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn add(config: StoreConfig) -> Result<(), Box<dyn Error>> {
    let before = config.show().await?;
    let known = before.iter().filter(|database| database.is_known).count();
    if known == 0 {
        return Err(
            "there is no store yet: the first start, or `migrate`, makes one of all databases in store.shards".into()
        );
    }
    if known == before.len() {
        return Err(
            "every database in store.shards belongs to the store: put the DSN of the new one behind them".into()
        );
    }
    config.clone().migrate(&Entropy::system()).await?;
    let mut text = shown(&config.show().await?);
    let _ = write!(
        text,
        "\n\n{} joined. Start every gateway with this list, then move shards there: passenger-gateway shards move 17 --to {}",
        before.iter().filter(|database| !database.is_known).map(|new| new.name.as_str()).collect::<Vec<_>>().join(", "),
        known + 1,
    );
    print(&text)
}

fn shown(databases: &[Shown]) -> String {
    let mut text = String::new();
    for database in databases {
        let Shown { name, holds, shards, version, .. } = database;
        let _ = match database.is_known {
            true => writeln!(text, "{name}: {holds} ({shards}); version {version} of the map"),
            false => writeln!(text, "{name}: new, not part of the store yet"),
        };
        for told in &database.moves {
            let _ = writeln!(text, "  {told}");
        }
    }
    text.trim_end().to_owned()
}

async fn move_all(config: StoreConfig, plans: Vec<Plan>) -> Result<(), Box<dyn Error>> {
    let mut signals = StopSignals::listen()?;
    let supervisor = Supervisor::new(&Registry::new())?;
    let deps = Deps { supervisor: supervisor.clone(), entropy: Entropy::system(), on_commit: Arc::new(|_| {}) };
    let shards = config.build(deps).await?;
    let work = async {
        for plan in plans {
            move_one(&shards, plan).await?;
        }
        Ok::<_, Box<dyn Error>>(())
    };
    let done = tokio::select! {
        done = work => done,
        // Every step is a commit of its own: it is as if the process had died, which is provided for.
        _ = signals.next() => Err("stopped: say it again to go on".into()),
    };
    supervisor.shutdown(STOP_WITHIN).await;
    shards.close().await;
    done
}

async fn move_one(shards: &Shards, plan: Plan) -> Result<(), Box<dyn Error>> {
    let (number, to) = (plan.shard.number(), plan.to + 1);
    let lines = Lines::default();
    let moved = shards.move_shard(plan, &|progress| lines.tell(number, progress)).await;
    lines.end();
    let moved = moved.map_err(|error| match error {
        Failed::Refused(_) | Failed::Overtaken | Failed::TooSlow { .. } => {
            format!("shard {number} was not moved to database {to}: {error}")
        }
        Failed::Unfinished(_) => format!("shard {number}, to database {to}: {error}. Say it again"),
        Failed::Store(_) => format!(
            "the move of shard {number} to database {to} did not come to its end: {error}. `shards show` tells where it is; say it \
             again to go on"
        ),
    })?;
    print(&told(number, to, &moved))
}

fn told(number: i16, to: usize, moved: &Moved) -> String {
    let rows: u64 = moved.tables.iter().map(|(_, sum)| sum.rows).sum();
    let mut text = match moved.from {
        Some(from) => format!(
            "shard {number}: moved from database {} to database {to}: {rows} rows, the same on both sides; writes waited {} ms; \
             compared {} times before",
            from + 1,
            moved.pause.as_millis(),
            moved.passes
        ),
        None => format!("shard {number}: is in database {to}, and nothing is left to do; {rows} rows"),
    };
    for (table, Checksum { rows, sum }) in &moved.tables {
        if *rows > 0 {
            let _ = write!(text, "\n  {table}: {rows} rows, checksum {sum:032x}");
        }
    }
    text
}

/// Progress on standard error: one line that is written over on a terminal, else only what is news.
#[derive(Default)]
struct Lines(std::sync::Mutex<bool>);

impl Lines {
    fn tell(&self, number: i16, progress: Progress) {
        let (text, may_be_written_over) = match progress {
            Progress::Copied { pass, rows, of } => (format!("copied, time {pass}: {rows} of {of} rows"), rows < of),
            Progress::Reopened { pause } if pause.is_zero() => {
                ("not closed: comparing it takes longer than writes may wait".to_owned(), false)
            }
            Progress::Reopened { pause } => {
                (format!("writes waited {} ms and go on here: it took too long", pause.as_millis()), false)
            }
            Progress::Moved { pause } => (format!("moved; writes waited {} ms", pause.as_millis()), false),
            Progress::Removed { rows } => (format!("{rows} rows removed where it was"), true),
        };
        let mut err = std::io::stderr().lock();
        let on_terminal = err.is_terminal();
        let mut is_open = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // Progress that cannot be shown changes nothing.
        let _ = match (may_be_written_over, on_terminal) {
            (true, true) => write!(err, "\rshard {number}: {text}\x1b[K"),
            (true, false) => Ok(()),
            (false, true) => writeln!(err, "\rshard {number}: {text}\x1b[K"),
            (false, false) => writeln!(err, "shard {number}: {text}"),
        };
        *is_open = may_be_written_over && on_terminal;
    }

    fn end(&self) {
        if std::mem::take(&mut *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)) {
            let _ = writeln!(std::io::stderr());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_named_by_numbers_and_ranges() {
        assert_eq!([range("17"), range("0-1023"), range("5-5")], [Ok((17, 17)), Ok((0, 1023)), Ok((5, 5))]);
        for wrong in ["1024", "-1", "5-4", "5-", "a", "", "1-2-3"] {
            assert!(range(wrong).is_err_and(|told| told.contains("0 to 1023")), "{wrong}");
        }
    }
}
