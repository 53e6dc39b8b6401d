//! Places where a test lets the process die as in a power cut. A release build has none.

/// Which place it is.
#[cfg(debug_assertions)]
const VARIABLE: &str = "GATEWAY_FAILPOINT";

/// Ends the process at once, with SIGKILL, if the environment's `GATEWAY_FAILPOINT` is `name`. Whoever has failpoints keeps
/// their names in one list.
#[cfg(debug_assertions)]
#[allow(clippy::disallowed_methods, reason = "a test's hook, not a setting: a release build does not read it")]
pub fn reach(name: &str) {
    use std::sync::LazyLock;

    static WANTED: LazyLock<Option<String>> = LazyLock::new(|| std::env::var(VARIABLE).ok());
    if WANTED.as_deref() == Some(name) {
        // Nobody can end a process like this from within without unsafe code. Where there is no `kill`, no signal, but as
        // sudden an end.
        let _ = std::process::Command::new("kill").args(["-KILL", &std::process::id().to_string()]).status();
        std::process::abort();
    }
}

/// Nothing.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn reach(_: &str) {}
