//! `bench`: what the product costs, measured against its goals and against a peer; see `docs/benchmarks.md`.
//!
//! It is run by `cargo xtask bench`, which builds what is measured.

mod admission;
mod client;
mod clock;
mod data;
mod data_scan;
mod data_seed;
mod database;
mod door;
mod door_attacks;
mod door_visitors;
mod duel;
mod gateway;
mod main_flow;
mod peer;
mod process;
mod record;
mod replay;
mod report;
mod setting;
mod starts;
mod statements;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

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
    /// Many rides in several databases: the driver index compared with all of them.
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
    let outcome = match Cli::parse().command {
        Command::MainFlow(options) => main_flow::run(&options).await,
        Command::Data(options) => data::run(&options).await,
        Command::Door(options) => door::run(&options).await,
        Command::Traffic(options) => admission::run(&options).await,
        Command::Peer(options) => peer::run(&options).await.map(|()| true),
        Command::TrafficSide(side) => side.run().await.map(|()| true),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }
}
