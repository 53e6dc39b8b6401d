//! Threads that work for requests which were let in give way to the threads that let them in.

use std::fs;

use rustix::process::{Pid, getpriority_process, setpriority_process};

/// What this process calls the threads of SQLite's connections.
pub(super) const NAME: &str = "sqlite-";

/// How much nicer those threads are than the rest of the process. On a busy core a request's way to its refusal, or to its place,
/// is then short: what waits there waits before anybody has looked at its priority. 3 is half of the weight: enough that the
/// database is not starved by refusals.
const NICER: i32 = 3;
const NICEST: i32 = 19;

/// Gives every thread of that name its nice value (Linux only: elsewhere it belongs to the process). What fails is left: nothing
/// but latency under overload depends on it.
pub(super) fn give_way() {
    let (Ok(ours), Ok(threads)) = (getpriority_process(None), fs::read_dir("/proc/self/task")) else { return };
    for thread in threads.flatten() {
        let is_sqlite = fs::read_to_string(thread.path().join("comm")).is_ok_and(|name| name.starts_with(NAME));
        let id = thread.file_name().to_str().and_then(|id| id.parse().ok()).and_then(Pid::from_raw);
        if is_sqlite && let Some(id) = id {
            // Linux takes a thread's number here, whatever POSIX says of the whole process.
            let _ = setpriority_process(Some(id), (ours + NICER).min(NICEST));
        }
    }
}
