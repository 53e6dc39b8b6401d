//! The server on one core, this tool on another, so that neither takes the other's time.

use std::process::Stdio;

/// The server's core.
pub(crate) const SERVER: u32 = 0;
/// This tool's.
const GENERATOR: u32 = 1;

/// Puts every thread of this process on its core.
///
/// # Errors
/// There are not enough cores, or no `taskset`.
pub(crate) async fn generator(cores: u32) -> Result<(), String> {
    if cores < 2 {
        return Err("--pin needs two cores".into());
    }
    let (core, pid) = (GENERATOR.to_string(), std::process::id().to_string());
    let mut pin = tokio::process::Command::new("taskset");
    pin.args(["--all-tasks", "--cpu-list", "--pid", &core, &pid]).stdout(Stdio::null()).stdin(Stdio::null());
    match pin.status().await {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("--pin: taskset ended with {status}")),
        Err(error) => Err(format!("--pin needs `taskset` (util-linux): {error}")),
    }
}

/// Keeps this thread from falling asleep for as long as the runtime lives. Between two virtual cores, waking a sleeper is an
/// interrupt of some microseconds that whoever wakes it pays: the server would pay it for each answer while the
/// generator has little to do, and not while it has much.
pub(crate) fn stay_awake() {
    tokio::spawn(async {
        loop {
            tokio::task::yield_now().await;
        }
    });
}
