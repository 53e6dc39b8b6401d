//! `loadtest`: drives a gateway the way passengers do, through its public API only, and says which promises it broke.
//!
//! It shares no code with the gateway: what it knows of the API it knows from the contract, as any client would.
#![allow(
    clippy::disallowed_methods,
    reason = "a measuring tool: it reads the monotonic clock where it measures, and has no supervisor or configuration"
)]

mod api;
mod audit;
mod cancel;
mod client;
mod follow;
mod kills;
mod listen;
mod money;
mod options;
mod outage;
mod passenger;
mod payment;
mod progress;
mod promises;
mod replay;
mod report;
mod server;
mod settle;
mod sse;
mod tally;
mod trip;
mod trips;
mod verdict;
mod wire;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use outage::{Halt, Why};
use tokio::signal::unix::{SignalKind, signal};

#[derive(Parser)]
#[command(
    name = "loadtest",
    version,
    about = "Drives a passenger gateway through its public API and checks its promises"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Drives the trips of a real day, each from sign-in to rating, and lists every broken promise.
    ///
    /// Exit code: 0 when every promise was kept, 1 when one was broken, 2 when the replay could not run.
    Replay(options::Options),
}

#[tokio::main]
async fn main() -> ExitCode {
    let Command::Replay(options) = Cli::parse().command;
    let interrupt = Halt::new();
    let outcome = tokio::select! {
        outcome = replay::run(options, interrupt.clone()) => outcome,
        error = signals(&interrupt) => Err(error),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(reason) => {
            eprintln!("loadtest: {reason}");
            ExitCode::from(2)
        }
    }
}

/// The first signal to end stops the replay, which then reports and cleans up; returns at the second one, for those who
/// cannot wait: what is dropped then kills its server and removes its folder.
async fn signals(interrupt: &Halt) -> String {
    let listen = |kind| signal(kind).map_err(|e| format!("signals: {e}"));
    let all = (listen(SignalKind::interrupt()), listen(SignalKind::terminate()), listen(SignalKind::hangup()));
    let (mut interrupted, mut terminated, mut hung_up) = match all {
        (Ok(a), Ok(b), Ok(c)) => (a, b, c),
        (Err(e), ..) | (_, Err(e), _) | (.., Err(e)) => return e,
    };
    loop {
        tokio::select! {
            _ = interrupted.recv() => {}
            _ = terminated.recv() => {}
            _ = hung_up.recv() => {}
        }
        if interrupt.why().is_some() {
            return "interrupted twice: nothing was looked at".to_owned();
        }
        interrupt.stop(Why::Interrupted);
    }
}
