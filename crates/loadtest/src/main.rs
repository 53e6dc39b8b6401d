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
mod run;
mod server;
mod settle;
mod sse;
mod stage;
mod tally;
mod trip;
mod trips;
mod verdict;
mod wire;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use outage::{Halt, Why};
use tokio::{
    runtime::Builder,
    signal::unix::{SignalKind, signal},
};

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
    Replay(Box<options::Options>),
    /// Sends a scenario's load, open loop: requests are due when they are due, whatever the server does.
    ///
    /// Exit code: 0 when every check held, 1 when one did not, 2 when it could not run or the generator could not keep up.
    Run(Box<run::RunOptions>),
    /// Makes the HTML report anew from a run's JSON.
    Report(run::ReportOptions),
}

fn main() -> ExitCode {
    let command = Cli::parse().command;
    // A run's generator has one core: threads that wake each other would cost more than they bring.
    let runtime = match &command {
        Command::Replay(_) => Builder::new_multi_thread().enable_all().build(),
        Command::Run(_) | Command::Report(_) => Builder::new_current_thread().enable_all().build(),
    };
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("loadtest: the runtime: {error}");
            return ExitCode::from(2);
        }
    };
    match runtime.block_on(execute(command)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(reason) => {
            eprintln!("loadtest: {reason}");
            ExitCode::from(2)
        }
    }
}

async fn execute(command: Command) -> Result<bool, String> {
    let interrupt = Halt::new();
    let work = async {
        match command {
            Command::Replay(options) => replay::run(*options, interrupt.clone()).await,
            Command::Run(options) => run::run(*options, interrupt.clone()).await,
            Command::Report(options) => run::report_again(&options),
        }
    };
    tokio::select! {
        outcome = work => outcome,
        error = signals(&interrupt) => Err(error),
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
