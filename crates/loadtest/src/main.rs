//! `loadtest`: drives a gateway the way passengers do, through its public API only, and says which promises it broke.
//!
//! It shares no code with the gateway: what it knows of the API it knows from the contract, as any client would.
#![allow(
    clippy::disallowed_methods,
    reason = "a measuring tool: it reads the monotonic clock where it measures, and has no supervisor or configuration"
)]

mod api;
mod audit;
mod client;
mod follow;
mod listen;
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
    let outcome = match Cli::parse().command {
        Command::Replay(options) => replay::run(options).await,
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
