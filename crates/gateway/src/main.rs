//! The binary `passenger-gateway`: reads the settings, does what it is told, and says why if it cannot.

mod background;
mod compose;
mod config;
mod consistency;
#[cfg(test)]
mod defaults_test;
mod policies;
mod refusals;
mod screen;
mod secrets;
mod settings;
mod shards;
mod signals;
#[cfg(test)]
mod test_folder;

use std::{error::Error, io::Write, path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use traffic::{PolicyFile, Start};

use crate::{
    config::{Profile, Sources},
    settings::Settings,
};

/// The entry service for passengers of a ride-hailing platform.
#[derive(Parser)]
#[command(name = "passenger-gateway", version)]
struct Cli {
    /// Folder of default.toml and PROFILE.toml [default: config, if it exists]
    #[arg(long, global = true, value_name = "FOLDER")]
    config_dir: Option<PathBuf>,
    /// local, production, or another with its own file
    #[arg(long, global = true, default_value = "local")]
    profile: Profile,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Serve passengers (also without a command)
    Serve,
    /// Bring every shard's tables up to date and end
    Migrate,
    /// Print the OpenAPI description
    Openapi,
    /// Look at the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Compare the driver index with the rides
    #[command(subcommand)]
    Consistency(consistency::Command),
    /// Where the shards lie, and moving them
    #[command(subcommand)]
    Shards(shards::Command),
    /// Look at the limits
    #[command(subcommand)]
    Traffic(TrafficCommand),
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Print every setting in effect and where it came from, or everything that is wrong
    Check,
}

#[derive(Subcommand)]
enum TrafficCommand {
    /// Print every route with its class, its priority and what each policy takes for it, or everything that is wrong
    Check {
        /// A policies file [default: the one that `serve` would use]
        file: Option<PathBuf>,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    // Who asks whether the index agrees must not take a failure for an answer.
    let failure = match cli.command {
        Some(Command::Consistency(_)) => consistency::Verdict::Unknown.into(),
        _ => ExitCode::FAILURE,
    };
    run(cli).unwrap_or_else(|error| {
        // Standard error that cannot be written changes nothing: the exit code says it too.
        let _ = writeln!(std::io::stderr(), "passenger-gateway: {}", with_causes(&*error));
        failure
    })
}

fn run(cli: Cli) -> Result<ExitCode, Box<dyn Error>> {
    let command = cli.command.unwrap_or(Command::Serve);
    if matches!(command, Command::Openapi) {
        return printed(&adapter_http::openapi().to_pretty_json()?);
    }
    if let Command::Traffic(TrafficCommand::Check { file: Some(path) }) = command {
        let start = Start::read(Some(PolicyFile { path, is_optional: false }))?;
        return printed(&screen::of(&start.policies));
    }
    let sources = Sources::of_process(cli.config_dir, cli.profile.clone());
    let (settings, report) = Settings::load(cli.profile, &sources)?;
    let policies = policies::file(&settings.traffic, sources.folder());
    if matches!(command, Command::Traffic(_)) {
        return printed(&screen::of(&Start::read(policies)?.policies));
    }
    if matches!(command, Command::Config(ConfigCommand::Check)) {
        refusals::check(&settings)?;
        refusals::check_strategy(&settings)?;
        secrets::check(&settings)?;
        Start::read(policies)?;
        return printed(&report.to_string());
    }
    runtime::telemetry::init(&settings.runtime)?;
    let tokio = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    tokio.block_on(async { signals::outlive_file_limits() })?;
    match command {
        Command::Migrate => {
            let applied = tokio.block_on(settings.store.migrate(&runtime::Entropy::system()))?;
            tracing::info!(applied, "migrated");
            Ok(ExitCode::SUCCESS)
        }
        Command::Consistency(command) => Ok(tokio.block_on(consistency::run(settings, command))?.into()),
        Command::Shards(command) => tokio.block_on(shards::run(settings, command)),
        Command::Serve | Command::Openapi | Command::Config(_) | Command::Traffic(_) => {
            tokio.block_on(compose::serve(settings, policies))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn printed(text: &str) -> Result<ExitCode, Box<dyn Error>> {
    print(text).map(|()| ExitCode::SUCCESS)
}

fn print(text: &str) -> Result<(), Box<dyn Error>> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", text.trim_end())?;
    Ok(out.flush()?)
}

/// The error and what caused it, on one line, unless the text already says so.
fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    text
}
