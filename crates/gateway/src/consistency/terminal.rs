//! `passenger-gateway consistency check|repair`: the driver index against the rides, from a terminal. No gateway need run; those
//! that do go on meanwhile.

use std::{error::Error, fmt::Write as _, io::Write as _, process::ExitCode, sync::Arc, time::Duration};

use clap::Subcommand;
use entity::{Finding, Scan, Shards, StoreError, store::Deps, value::Id};
use prometheus::Registry;
use runtime::{
    Clock, Entropy,
    task::{Shutdown, Supervisor},
};
use usecase::consistency::{Begun, Consistency, RepairedRow, State, Worked};

use super::progress::Progress;
use crate::{compose::RESTART, print, settings::Settings, signals::StopSignals};

/// How often it is looked how far somebody else's scan is.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Mismatches that are told; all of them are in the database.
const SHOWN: u64 = 20;
/// What leaving a scan may take after a stop signal.
const LEAVE_WITHIN: Duration = Duration::from_secs(5);

/// What can be done about the driver index.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Compare the whole driver index with the rides. Exit code: 0 they agree, 1 they do not, 2 it could not be told
    Check,
    /// Compare, and put right what does not agree. Exit code: 0 they agree now, 1 they do not, 2 it could not be told
    Repair {
        /// Only say what would be done
        #[arg(long)]
        dry_run: bool,
        /// Take what this scan found, without another one
        #[arg(long, value_name = "ID", value_parser = id)]
        scan: Option<Id<Scan>>,
    },
}

fn id(text: &str) -> Result<Id<Scan>, String> {
    text.parse().map_err(|_| "the id of a scan is a number".to_owned())
}

/// Every way that it may end; a failure is one that nothing could be told for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Agree = 0,
    Differ = 1,
    Unknown = 2,
}

impl From<Verdict> for ExitCode {
    fn from(verdict: Verdict) -> Self {
        Self::from(verdict as u8)
    }
}

/// Does it, until the end or a stop signal.
///
/// # Errors
/// The databases cannot be opened, or fail meanwhile.
pub(crate) async fn run(settings: Settings, command: Command) -> Result<Verdict, Box<dyn Error>> {
    let mut signals = StopSignals::listen()?;
    let supervisor = Supervisor::new(&Registry::new())?;
    let (entropy, on_commit) = (Entropy::system(), Arc::new(|_| {}));
    let shards = settings.store.build(Deps { supervisor: supervisor.clone(), entropy, on_commit }).await?;
    let followed = shards.clone();
    supervisor.spawn("shard-moves", RESTART, move |shutdown| {
        let shards = followed.clone();
        async move { shards.follow_moves(shutdown).await }
    });
    let terminal = Terminal {
        consistency: settings.consistency.build(&shards, Clock::system()),
        shards: shards.clone(),
        shutdown: supervisor.shutdown_signal(),
        progress: Progress::default(),
    };
    let mut work = std::pin::pin!(terminal.obey(command));
    let verdict = tokio::select! {
        verdict = &mut work => verdict,
        _ = signals.next() => tokio::join!(work, supervisor.shutdown(LEAVE_WITHIN)).0,
    };
    shards.close().await;
    verdict
}

struct Terminal {
    consistency: Consistency,
    shards: Shards,
    shutdown: Shutdown,
    progress: Progress,
}

impl Terminal {
    async fn obey(&self, command: Command) -> Result<Verdict, Box<dyn Error>> {
        match command {
            Command::Check => match self.scan().await? {
                Some(scan) => {
                    print(&self.found(&scan).await?)?;
                    Ok(if scan.counts.mismatches() == 0 { Verdict::Agree } else { Verdict::Differ })
                }
                None => stopped(),
            },
            Command::Repair { dry_run, scan: Some(id) } => self.repair(id, dry_run).await,
            Command::Repair { dry_run, scan: None } => match self.scan().await? {
                Some(scan) => {
                    print(&self.found(&scan).await?)?;
                    self.repair(scan.id, dry_run).await
                }
                None => stopped(),
            },
        }
    }

    /// A scan, from its beginning or from where one that is running has come to, to its end; `None` when there was no time.
    async fn scan(&self) -> Result<Option<Scan>, Box<dyn Error>> {
        let scan = match self.consistency.scanner.begin().await? {
            Begun::New(scan) => scan,
            Begun::Running(scan) => {
                self.progress.say(&format!("scan {} is not finished: it goes on", scan.id));
                scan
            }
        };
        let told = |scan: &Scan| self.progress.show(scan);
        loop {
            match self.consistency.scanner.work(&self.shutdown, &told).await? {
                Worked::Finished(scan) => return Ok(Some(scan)),
                Worked::Stopped(_) => return Ok(None),
                Worked::Elsewhere(scan) => self.progress.show(&scan),
                Worked::Nothing => {
                    // Somebody else has finished it.
                    let scan = Scan::find(self.shards.read(Scan::SHARD), scan.id).await?;
                    return scan.map(Some).ok_or_else(|| "the scan is gone".into());
                }
            }
            tokio::select! {
                () = self.shutdown.wait() => return Ok(None),
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    async fn found(&self, scan: &Scan) -> Result<String, StoreError> {
        let counts = &scan.counts;
        let mut text = format!(
            "scan {}: {} acceptances, {} index rows, {:.1} s\nmissing_index {}\nstale_index {}\nin_doubt {}\nin_flight {}",
            scan.id,
            counts.acceptances,
            counts.index_rows,
            scan.worked_ms as f64 / 1000.0,
            counts.missing_index,
            counts.stale_index,
            counts.in_doubt,
            counts.in_flight,
        );
        for finding in Finding::page(self.shards.read(Scan::SHARD), scan, 0, SHOWN).await? {
            let row = &finding.row;
            let state = State::of(finding.mismatch).name();
            let _ = write!(
                text,
                "\n{state}: ride {}, driver {}, index shard {}",
                row.ride_id,
                row.driver_id,
                row.shard.number()
            );
        }
        if counts.findings > SHOWN {
            let _ = write!(text, "\n… and {} more", counts.findings - SHOWN);
        }
        Ok(text)
    }

    async fn repair(&self, id: Id<Scan>, dry_run: bool) -> Result<Verdict, Box<dyn Error>> {
        let (mut after, mut changed, mut unsettled) = (0, 0_usize, 0_usize);
        loop {
            let repair = self.consistency.repair_scan.run(id, after, dry_run);
            let repaired = tokio::select! {
                repaired = repair => repaired?.ok_or_else(|| format!("there is no scan {id}"))?,
                () = self.shutdown.wait() => return stopped(),
            };
            unsettled += repaired.rows.iter().filter(|row| !row.is_settled(dry_run)).count();
            for row in &repaired.rows {
                changed += usize::from(row.repaired.changes());
                print(&line(row, dry_run))?;
            }
            if let Some(next) = repaired.next {
                after = next;
                continue;
            }
            let uncounted = repaired.scan.counts.mismatches() - repaired.scan.counts.findings;
            let would = if dry_run { "would be " } else { "" };
            print(&format!("{changed} rows {would}repaired, {unsettled} do not agree"))?;
            if uncounted > 0 {
                print(&format!("{uncounted} mismatches more were only counted: run it again"))?;
            }
            return Ok(if unsettled == 0 && uncounted == 0 { Verdict::Agree } else { Verdict::Differ });
        }
    }
}

fn line(row: &RepairedRow, dry_run: bool) -> String {
    let (index, state) = (&row.evidence.row, row.evidence.state().name());
    let would = if dry_run && row.repaired.changes() { "would be " } else { "" };
    format!("{state}: ride {}, driver {}: {would}{}", index.ride_id, index.driver_id, row.repaired.name())
}

fn stopped() -> Result<Verdict, Box<dyn Error>> {
    let _ = writeln!(std::io::stderr(), "stopped before its end; the same command goes on where it was");
    Ok(Verdict::Unknown)
}
