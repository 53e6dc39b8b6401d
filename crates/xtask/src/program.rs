//! Other programs: started, waited for, and ended when nobody waits any more.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::{ExitCode, ExitStatus, Output, Stdio},
};

use tokio::process::Command;

/// A program that is about to be called.
pub(crate) struct Program {
    name: String,
    command: Command,
}

impl Program {
    /// The program at `path`, or of that name in the search path.
    pub(crate) fn new(path: impl AsRef<OsStr>) -> Self {
        let name = Path::new(path.as_ref()).file_name().unwrap_or(path.as_ref()).to_string_lossy().into_owned();
        let mut command = Command::new(path);
        command.kill_on_drop(true).stdin(Stdio::null()).current_dir(root());
        Self { name, command }
    }

    /// The cargo that runs us: its toolchain also runs the step, whatever comes first in the search path.
    pub(crate) fn cargo() -> Self {
        Self::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
    }

    /// What it is called with.
    pub(crate) fn arguments<S: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.command.args(arguments);
        self
    }

    /// One more variable of its environment.
    pub(crate) fn variable(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// A variable of ours that its environment is not to have.
    pub(crate) fn without_variable(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// Where it runs; the project's root if not said.
    pub(crate) fn folder(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// Runs it to its end with the terminal's own output.
    ///
    /// # Errors
    /// It could not be started, or ended with another code than 0.
    pub(crate) async fn run(mut self) -> Result<(), String> {
        let status = self.command.status().await;
        self.judge(status.map_err(|error| format!("{} could not be started: {error}", self.name))?)
    }

    /// Runs it to its end with the terminal's own output; its exit code.
    ///
    /// # Errors
    /// It could not be started.
    pub(crate) async fn code(mut self) -> Result<ExitCode, String> {
        let status = self.command.status().await;
        let status = status.map_err(|error| format!("{} could not be started: {error}", self.name))?;
        Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
    }

    /// Runs it to its end and keeps what it wrote.
    ///
    /// # Errors
    /// It could not be started.
    pub(crate) async fn output(mut self) -> Result<Output, String> {
        self.command.output().await.map_err(|error| format!("{} could not be started: {error}", self.name))
    }

    fn judge(&self, status: ExitStatus) -> Result<(), String> {
        if status.success() { Ok(()) } else { Err(format!("{} ended with {status}", self.name)) }
    }
}

/// What a program wrote, errors last.
pub(crate) fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// The project's root folder.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// The folder of build products: that of the running program, `target` unless cargo was told otherwise.
///
/// # Errors
/// The operating system does not say where we are.
pub(crate) fn target() -> Result<PathBuf, String> {
    let me = std::env::current_exe().map_err(|error| error.to_string())?;
    me.ancestors().nth(2).map(Path::to_owned).ok_or_else(|| format!("{} is in no target folder", me.display()))
}

/// A built program of ours, of the debug or the release profile.
///
/// # Errors
/// It was not built.
pub(crate) fn built(profile: &str, name: &str) -> Result<PathBuf, String> {
    let path = target()?.join(profile).join(name);
    if path.is_file() { Ok(path) } else { Err(format!("there is no {profile} build of {name}")) }
}

/// The built gateway.
///
/// # Errors
/// It was not built.
pub(crate) fn gateway_binary(profile: &str) -> Result<PathBuf, String> {
    built(profile, "passenger-gateway")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_the_workspace() {
        assert!(root().join("deny.toml").is_file());
    }

    #[tokio::test]
    async fn a_program_that_fails_is_named_with_its_code() {
        assert_eq!(Program::new("true").run().await, Ok(()));
        let error = Program::new("/bin/false").run().await.unwrap_err();
        assert!(error.contains("false ended with") && error.contains('1'), "{error}");
    }
}
