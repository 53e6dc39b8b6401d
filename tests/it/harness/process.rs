//! The gateway's process: its folder, its environment, its log, its end.

use std::{
    ffi::OsStr,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicU64, Ordering},
};

/// The built binary.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_passenger-gateway");
/// What a process writes, in its folder.
const LOG: &str = "gateway.log";

/// A temporary folder, removed with everything in it.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = format!("passenger-gateway-it-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("a temporary folder can be made");
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A folder that stays behind in the system's temporary place harms nobody.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// One run of the binary; killed when dropped.
pub(super) struct Process {
    child: Child,
    log: PathBuf,
    /// What earlier runs left in the log, bytes.
    earlier: usize,
}

impl Process {
    /// Starts the binary in `folder` with `settings` such as `("rides.match_timeout_s", "2")`. What it writes is
    /// appended to [`LOG`] there.
    pub(super) fn start(folder: &Path, arguments: &[&str], settings: &[(String, String)]) -> Self {
        Self::spawn(Command::new(BINARY), folder, arguments, settings)
    }

    /// As [`Process::start`], after a line of shell such as `ulimit -S -f 2048` in the same process.
    pub(super) fn start_after(shell: &str, folder: &Path, arguments: &[&str], settings: &[(String, String)]) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{shell}; exec \"$0\" \"$@\""), BINARY]);
        Self::spawn(command, folder, arguments, settings)
    }

    fn spawn(mut command: Command, folder: &Path, arguments: &[&str], settings: &[(String, String)]) -> Self {
        let log = folder.join(LOG);
        let output = File::options().create(true).append(true).open(&log).expect("the log can be opened");
        let earlier = output.metadata().map_or(0, |log| log.len() as usize);
        command.args(arguments).current_dir(folder).stdin(Stdio::null());
        // Settings of whoever runs the tests must not leak into them.
        for (name, _) in std::env::vars_os().filter(|(name, _)| is_setting(name)) {
            command.env_remove(name);
        }
        command.envs(settings.iter().map(|(key, value)| (variable(key), value)));
        command.stdout(output.try_clone().expect("the log can be shared")).stderr(output);
        Self { child: command.spawn().expect("the built binary starts"), log, earlier }
    }

    /// The exit status once it has ended.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("the child can be asked")
    }

    /// Waits for its end.
    pub(super) async fn exit(&mut self) -> ExitStatus {
        super::eventually("the process ends", async || self.ended()).await
    }

    /// Exit code and what it wrote, for one that ended by itself.
    pub(super) fn told(&self, status: ExitStatus) -> (i32, String) {
        (status.code().expect("it ends by itself"), self.log().split_off(self.earlier))
    }

    /// SIGKILL: no chance to tidy up.
    pub(super) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends a signal by its short name.
    pub(super) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.id()]).status();
        assert!(sent.expect("kill runs").success());
    }

    /// Its number for the operating system.
    pub(super) fn id(&self) -> String {
        self.child.id().to_string()
    }

    /// Everything written so far, by earlier runs too.
    pub(super) fn log(&self) -> String {
        fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let tail = lines[lines.len().saturating_sub(60)..].join("\n");
            eprintln!("the gateway's last lines:\n{tail}\n");
        }
    }
}

/// Runs the binary until it ends by itself: exit code and everything it wrote.
pub(crate) async fn run_to_exit(arguments: &[&str], settings: &[(&str, &str)]) -> (i32, String) {
    run_to_exit_in(&Folder::new(), arguments, settings).await
}

/// The same in a folder that was prepared.
pub(crate) async fn run_to_exit_in(folder: &Folder, arguments: &[&str], settings: &[(&str, &str)]) -> (i32, String) {
    let settings: Vec<_> = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let mut process = Process::start(folder.path(), arguments, &settings);
    let status = process.exit().await;
    process.told(status)
}

/// Runs the binary after a line of shell, such as an `export`, until it ends in whatever way.
pub(crate) async fn run_after(shell: &str, arguments: &[&str], settings: &[(&str, &str)]) -> ExitStatus {
    let folder = Folder::new();
    let settings: Vec<_> = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Process::start_after(shell, folder.path(), arguments, &settings).exit().await
}

fn is_setting(name: &OsStr) -> bool {
    name.to_string_lossy().starts_with("GATEWAY__")
}

/// `rides.match_timeout_s` → `GATEWAY__RIDES__MATCH_TIMEOUT_S`.
pub(super) fn variable(key: &str) -> String {
    format!("GATEWAY__{}", key.replace('.', "__").to_uppercase())
}
