//! Another process that measures itself: asked by a line with a number, it answers with a line of JSON.

use std::{
    io::{BufRead, Write},
    process::Stdio,
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

use crate::process::Process;

/// What one of these processes says of a number of decisions.
#[derive(Serialize, Deserialize)]
pub(crate) struct Measured {
    /// Mean time of one decision by its own clock, nanoseconds; 0 when it is ready to begin.
    pub(crate) ns_per_decision: f64,
}

/// A process that waits for numbers; killed when dropped.
pub(crate) struct Side {
    name: &'static str,
    _child: Child,
    process: Process,
    commands: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Side {
    /// Starts it and waits until it is ready.
    ///
    /// # Errors
    /// In words.
    pub(crate) async fn start(name: &'static str, mut command: Command) -> Result<Self, String> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|e| format!("{name}: {e}"))?;
        let process = Process::new(child.id().ok_or_else(|| format!("{name} has ended"))?)?;
        let (commands, answers) = (child.stdin.take().ok_or("no pipe")?, child.stdout.take().ok_or("no pipe")?);
        let mut side = Self { name, _child: child, process, commands, answers: BufReader::new(answers).lines() };
        side.answer().await?;
        Ok(side)
    }

    /// Processor time of one of so many decisions, made now by the process's first thread; nanoseconds.
    ///
    /// # Errors
    /// The process has ended.
    pub(crate) async fn decide(&mut self, decisions: u32) -> Result<f64, String> {
        let line = format!("{decisions}\n");
        let before = self.process.first_threads_cpu()?;
        self.commands.write_all(line.as_bytes()).await.map_err(|e| format!("{}: {e}", self.name))?;
        self.answer().await?;
        let used = self.process.first_threads_cpu()?.saturating_sub(before);
        Ok(used.as_nanos() as f64 / f64::from(decisions))
    }

    async fn answer(&mut self) -> Result<f64, String> {
        let line = self.answers.next_line().await.map_err(|e| format!("{}: {e}", self.name))?;
        let line = line.ok_or_else(|| format!("{} has ended", self.name))?;
        let measured: Measured = serde_json::from_str(&line).map_err(|e| format!("{}: {e}: {line}", self.name))?;
        Ok(measured.ns_per_decision)
    }
}

/// The other end: says that it is ready, then answers every line with what `measure` gives for its number.
///
/// # Errors
/// A line that is no number, or nobody listens.
pub(crate) fn answer_each(mut measure: impl FnMut(u32) -> f64) -> Result<(), String> {
    say(&Measured { ns_per_decision: 0.0 })?;
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(|e| e.to_string())?;
        let decisions = line.trim().parse().map_err(|_| format!("`{line}` is no number"))?;
        say(&Measured { ns_per_decision: measure(decisions) })?;
    }
    Ok(())
}

/// Prints a line of JSON for the bench that started this process.
///
/// # Errors
/// Nobody listens.
pub(crate) fn say(what: &impl Serialize) -> Result<(), String> {
    let text = serde_json::to_string(what).map_err(|e| e.to_string())?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(|e| e.to_string())
}

/// Runs a process to its end; what it said.
///
/// # Errors
/// It failed, or said something else.
pub(crate) async fn said_by<T: DeserializeOwned>(mut command: Command) -> Result<T, String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output().await.map_err(|e| e.to_string())?;
    if !output.status.success() {
        return Err(format!("a measuring process ended with {}", output.status));
    }
    serde_json::from_slice(&output.stdout).map_err(|e| e.to_string())
}
