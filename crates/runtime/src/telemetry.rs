//! Logs, and the settings of section `[runtime]`.

use std::{error::Error, io::IsTerminal};

use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

use crate::{Invalid, within};

/// Section `[runtime]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Seconds that requests and tasks get to end after a stop signal, 0…600.
    pub drain_s: u32,
    /// Seconds between saying "not ready" and closing the listeners, 0…60: the time in which a load balancer looks. Comes
    /// before `drain_s`.
    pub unready_s: u32,
    /// Which log lines are written: a level, or directives like `info,entity=debug`.
    pub log: String,
    /// How log lines look.
    pub log_format: LogFormat,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// One line of text, coloured on a terminal.
    Pretty,
    /// One JSON object a line.
    Json,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            drain_s: 20,
            unready_s: 0,
            log: "info,actix_server=warn,actix_http=off".into(),
            log_format: LogFormat::Pretty,
        }
    }
}

impl Config {
    /// Checks what serde cannot.
    ///
    /// # Errors
    /// The first key with a value that is not accepted.
    pub fn validate(&self) -> Result<(), Invalid> {
        within("drain_s", self.drain_s, 0..=600, "seconds")?;
        within("unready_s", self.unready_s, 0..=60, "seconds")?;
        if self.log.trim().is_empty() || EnvFilter::try_new(&self.log).is_err() {
            return Err(Invalid::new(
                "log",
                "a level (error, warn, info, debug, trace) or directives like `info,entity=debug`",
            ));
        }
        Ok(())
    }
}

/// Starts writing logs to standard error and sends panics there too. Standard output stays free for results.
///
/// # Errors
/// A bad `log` setting, or something in this process receives the logs already.
pub fn init(config: &Config) -> Result<(), Box<dyn Error>> {
    let filter = EnvFilter::try_new(&config.log)?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        // A line that cannot be written (disk full) is lost; told on standard error it would end the process.
        .log_internal_errors(false)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let set = match config.log_format {
        LogFormat::Pretty => lines.try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    set.map_err(|set_already| -> Box<dyn Error> { set_already })?;
    crate::task::install_panic_hook();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        assert_eq!(Config::default().validate(), Ok(()));
    }

    #[test]
    fn a_filter_that_does_not_parse_names_its_key() {
        let bad = Config { log: "info,entity=loud".into(), ..Config::default() };
        assert_eq!(bad.validate().map_err(|e| e.key), Err("log"));
        let slow = Config { drain_s: 601, ..Config::default() };
        assert_eq!(slow.validate().map_err(|e| e.to_string()), Err("`drain_s`: allowed is 0 to 600 (seconds)".into()));
    }

    #[test]
    fn a_second_init_is_an_error_and_not_a_panic() {
        let first = init(&Config::default());
        assert!(init(&Config::default()).is_err(), "{first:?}");
    }
}
