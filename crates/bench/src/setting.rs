//! When, of which commit and on which machine something was measured.

use std::{fs, path::Path};

use serde::Serialize;

use crate::process::said;

/// What a reader of figures must know about the run.
#[derive(Serialize)]
pub(crate) struct Setting {
    date: String,
    commit: String,
    machine: Machine,
}

#[derive(Serialize)]
struct Machine {
    cpu: String,
    cores: usize,
    kernel: String,
    rustc: String,
    file_system: String,
    load: String,
}

impl Setting {
    /// Of this run, now; `data` lies where databases will.
    ///
    /// # Errors
    /// The machine cannot be described.
    pub(crate) fn describe(data: &Path) -> Result<Self, String> {
        let cpus = fs::read_to_string("/proc/cpuinfo").map_err(|e| e.to_string())?;
        let model = cpus.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split_once(": "));
        let changed = if said("git", &["status", "--porcelain"])?.is_empty() { "" } else { " with changes" };
        let machine = Machine {
            cpu: model.map_or("unknown", |(_, name)| name).to_owned(),
            cores: std::thread::available_parallelism().map_err(|e| e.to_string())?.get(),
            kernel: said("uname", &["-sr"])?,
            rustc: said("rustc", &["--version"])?,
            file_system: said("stat", &["-f", "-c", "%T", &data.to_string_lossy()])?,
            load: fs::read_to_string("/proc/loadavg").map_err(|e| e.to_string())?.trim().to_owned(),
        };
        Ok(Self {
            date: said("date", &["-u", "+%F"])?,
            commit: said("git", &["rev-parse", "--short", "HEAD"])? + changed,
            machine,
        })
    }

    /// Two lines, as they stand above a table in `docs/benchmarks.md`.
    pub(crate) fn text(&self, quick: bool) -> String {
        let quick = if quick { " · quick: nothing is judged" } else { "" };
        let Machine { cpu, cores, kernel, rustc, file_system, load } = &self.machine;
        format!(
            "{} · commit {}{quick}\n\
             {cores} cores of {cpu} · {kernel} · {rustc} · {file_system} · load at the start {load}",
            self.date, self.commit
        )
    }
}
