//! The main flow, part by part.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};

use crate::{duel, replay, report::Report, setting::Setting, starts};

/// The options of `cargo xtask bench main-flow`.
#[derive(Args)]
pub(crate) struct Options {
    /// A minute instead of twenty, to see that everything still works: figures are rough and no goal is judged
    #[arg(long)]
    quick: bool,

    /// Only this part; may be repeated
    #[arg(long, value_name = "PART")]
    only: Vec<Part>,
}

/// A part that can be measured alone.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Processor time of requests against the peer
    Requests,
    /// Time from start to ready
    Starts,
    /// Whole rides: processor time and memory
    Rides,
}

/// Where things are.
pub(crate) struct Places {
    /// The gateway's binary.
    pub(crate) gateway: PathBuf,
    /// The load tool's binary.
    pub(crate) loadtest: PathBuf,
    /// For databases and logs; emptied before and removed after.
    pub(crate) data: PathBuf,
    /// Where the report goes.
    pub(crate) out: PathBuf,
}

impl Places {
    /// Beside this binary: `target/release/bench` measures its neighbours and writes to `target/bench`.
    ///
    /// # Errors
    /// Something is not built.
    pub(crate) fn find() -> Result<Self, String> {
        let own = std::env::current_exe().map_err(|e| e.to_string())?;
        let built = own.parent().ok_or("this binary lies nowhere")?;
        let out = built.parent().ok_or("this binary lies nowhere")?.join("bench");
        let neighbour = |name: &str| {
            let path = built.join(name);
            if path.is_file() { Ok(path) } else { Err(format!("{name} is not built; use `cargo xtask bench`")) }
        };
        let data = out.join(format!("data-{}", std::process::id()));
        fs::create_dir_all(&data).map_err(|e| format!("{}: {e}", data.display()))?;
        Ok(Self { gateway: neighbour("passenger-gateway")?, loadtest: neighbour("loadtest")?, data, out })
    }

    /// A folder of this name for one gateway or peer.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        self.data.join(name)
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.data) {
            eprintln!("bench: {} is left: {error}", self.data.display());
        }
    }
}

/// Measures, prints the table, writes it as JSON. `true` when every goal is met, or was not judged.
///
/// # Errors
/// Something could not be measured.
pub(crate) async fn run(options: &Options) -> Result<bool, String> {
    let places = Places::find()?;
    let mut report = Report::new(options.quick, Setting::describe(&places.data)?);
    let wanted = |part| options.only.is_empty() || options.only.contains(&part);
    if wanted(Part::Requests) {
        duel::run(&places, options.quick, &mut report).await?;
    }
    if wanted(Part::Starts) {
        starts::run(&places, options.quick, &mut report).await?;
    }
    if wanted(Part::Rides) {
        replay::run(&places, options.quick, &mut report).await?;
    }
    report.print();
    report.write(&out_file(&places.out, options))?;
    Ok(options.quick || report.holds())
}

fn out_file(folder: &Path, options: &Options) -> PathBuf {
    folder.join(if options.quick { "main-flow-quick.json" } else { "main-flow.json" })
}
