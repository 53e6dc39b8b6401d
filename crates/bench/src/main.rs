//! `bench`: what the product costs, measured against its goals and against a peer; see `docs/benchmarks.md`.
//!
//! It is run by `cargo xtask bench`, which builds what is measured.

mod admission;
mod client;
mod clock;
mod data;
mod data_accept;
mod data_drain;
mod data_move;
mod data_partner;
mod data_rides;
mod data_scan;
mod data_script;
mod data_seed;
mod data_store;
mod database;
mod door;
mod door_attacks;
mod door_visitors;
mod duel;
mod gateway;
mod main_flow;
mod peer;
mod pgbench;
mod postgres;
mod process;
mod record;
mod replay;
mod report;
mod server_log;
mod setting;
mod starts;
mod statements;
mod wal;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

#[derive(Parser)]
#[command(name = "bench", bin_name = "cargo xtask bench", about = "What the product costs, against its goals")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Processor time of requests and of whole rides, time to ready, memory.
    ///
    /// Exit code: 0 when every goal is met, 1 when one is missed, 2 when it could not be measured.
    MainFlow(main_flow::Options),
    /// What visitors notice of attacks on connections: slow heads and bodies, idle connections, endless ones, floods.
    ///
    /// Exit code: 0 when every goal is met, 1 when one is missed, 2 when it could not be measured.
    Door(door::Options),
    /// Rides in several databases: accepting and requesting them, catching up with the driver index, comparing it with all.
    ///
    /// Exit code: 0 when every goal is met, 1 when one is missed, 2 when it could not be measured.
    Data(data::Options),
    /// Admission control: requests against nginx and a bare server, limits against governor and limitador, a spike.
    ///
    /// Exit code: 0 when every bar holds, 1 when one does not, 2 when it could not be measured.
    Traffic(admission::Options),
    /// The other side of a comparison; the bench starts it itself
    #[command(hide = true)]
    Peer(peer::Options),
    #[command(flatten)]
    TrafficSide(admission::SideCommand),
}

#[tokio::main]
async fn main() -> ExitCode {
    let command = Cli::parse().command;
    // One side of a comparison ends with the bench that has started it.
    let is_side = matches!(command, Command::Peer(_) | Command::TrafficSide(_));
    let outcome = tokio::select! {
        outcome = run(command) => outcome,
        // What is dropped then ends its processes and removes its folders.
        stopped = stop_signal(), if !is_side => Err(stopped),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(reason) => {
            eprintln!("bench: {reason}");
            ExitCode::from(2)
        }
    }
}

async fn run(command: Command) -> Result<bool, String> {
    match command {
        Command::MainFlow(options) => main_flow::run(&options).await,
        Command::Data(options) => data::run(&options).await,
        Command::Door(options) => door::run(&options).await,
        Command::Traffic(options) => admission::run(&options).await,
        Command::Peer(options) => peer::run(&options).await.map(|()| true),
        Command::TrafficSide(side) => side.run().await.map(|()| true),
    }
}

/// Waits until somebody ends this program; how.
async fn stop_signal() -> String {
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        // Then it ends as every program does.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => "interrupted".to_owned(),
        _ = terminate.recv() => "terminated".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }
}
