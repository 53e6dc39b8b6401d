//! Stop signals: the first asks for a graceful end, the second ends at once.

use std::{future::Future, io};

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What the operating system sends to a process whose file grows beyond its limit (the same number on Linux and macOS).
const FILE_SIZE: i32 = 25;

/// From now on a limit on the size of files (`ulimit -f`) is an error of a write, as a full disk is, and not the end.
///
/// # Errors
/// The operating system refuses the handler.
pub(crate) fn outlive_file_limits() -> io::Result<()> {
    // The handler stays when what hears of it is gone.
    signal(SignalKind::from_raw(FILE_SIZE)).map(drop)
}

/// The exit status after a second signal: the usual one of a process that a signal ended early.
const ENDED_EARLY: i32 = 130;

/// `SIGTERM` (an orchestrator) and `SIGINT` (Ctrl-C).
pub(crate) struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    /// From now on the signals no longer end the process by themselves.
    ///
    /// # Errors
    /// The operating system refuses the handlers.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next signal and gives its name.
    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }

    /// Runs the graceful end; another signal meanwhile ends the process at once.
    pub(crate) async fn unless_repeated<T>(mut self, graceful_end: impl Future<Output = T>) -> T {
        tokio::select! {
            result = graceful_end => result,
            name = self.next() => {
                tracing::warn!(signal = name, "second stop signal: ending at once");
                std::process::exit(ENDED_EARLY)
            }
        }
    }
}
