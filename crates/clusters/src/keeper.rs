//! The process that stands between us and a server: it outlives us, if only to tidy up.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
};

use crate::{Error, account::Account};

const SCRIPT: &str = include_str!("keeper.sh");
const SHELL: &str = "/bin/sh";

/// Starts, kills and stops one server on our order. Dropped, it ends the server and removes the folder, and that is
/// done when the drop returns. When this process is killed, it does the same by itself.
#[derive(Debug)]
pub(crate) struct Keeper {
    process: Child,
    answers: BufReader<ChildStdout>,
}

impl Keeper {
    /// A keeper for the server that `postgres` with `arguments` starts as `account` on the data in `folder`. It is of our own
    /// account, so that it can remove what we have made.
    ///
    /// # Errors
    /// There is no shell.
    pub(crate) fn new(account: Account, folder: &Path, postgres: &Path, arguments: &[&str]) -> Result<Self, Error> {
        let mut command = Command::new(SHELL);
        command.args(["-c", SCRIPT, "keeper"]).arg(folder).args(account.prefix()).arg(postgres).args(arguments);
        // Ctrl-C in a terminal reaches every process of the group: it must end us, and the keeper tidy up after us.
        command.process_group(0).current_dir(folder).env_clear().envs(environment());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn().map_err(|error| Error::program(SHELL, error))?;
        let answers = process.stdout.take().ok_or_else(|| Error::program(SHELL, "it has no output"))?;
        Ok(Self { process, answers: BufReader::new(answers) })
    }

    /// Starts the server on this port and waits until it serves; the number of its first process.
    ///
    /// # Errors
    /// What became of it instead.
    pub(crate) fn start(&mut self, port: u16) -> Result<u32, String> {
        let answer = self.order(&format!("start {port}"))?;
        answer.strip_prefix("ready ").and_then(|id| id.parse().ok()).ok_or(answer)
    }

    /// SIGKILL for the server and every process of it; waits until they are gone.
    ///
    /// # Errors
    /// It was not there, or they are still there.
    pub(crate) fn kill(&mut self) -> Result<(), String> {
        self.order("kill").and_then(gone)
    }

    /// Asks the server to leave, without waiting for its clients, and waits until it has.
    ///
    /// # Errors
    /// As [`Keeper::kill`].
    pub(crate) fn stop(&mut self) -> Result<(), String> {
        self.order("stop").and_then(gone)
    }

    fn order(&mut self, order: &str) -> Result<String, String> {
        let orders = self.process.stdin.as_mut().ok_or("its keeper takes no orders")?;
        let mut answer = String::new();
        let told = writeln!(orders, "{order}").and_then(|()| self.answers.read_line(&mut answer));
        match told {
            Ok(0) => Err("its keeper is gone".to_owned()),
            Ok(_) => Ok(answer.trim_end().to_owned()),
            Err(error) => Err(format!("its keeper is gone: {error}")),
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        if let Err(error) = self.process.wait() {
            eprintln!("nothing is known of the end of a PostgreSQL server: {error}");
        }
    }
}

fn gone(answer: String) -> Result<(), String> {
    if answer == "gone" { Ok(()) } else { Err(answer) }
}

/// Only what finds programs: a `PGPORT` or a language of ours must not change what the server does and says.
fn environment() -> impl Iterator<Item = (&'static str, std::ffi::OsString)> {
    std::env::var_os("PATH")
        .into_iter()
        .map(|path| ("PATH", path))
        .chain([("LC_ALL", "C".into()), ("TZ", "UTC".into())])
}
