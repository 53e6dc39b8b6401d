//! A gateway of the tool's own: started in a private folder on free ports, killed and started again when asked, stopped.

mod process;

use std::{
    borrow::Cow,
    fs::DirBuilder,
    net::SocketAddr,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::{Duration, Instant},
};

use process::{DATABASE, LOG, STATEMENT, free_ports, spawn};
use tokio::process::{Child, Command};

/// How long a start may take.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// How long a stop may take: the product's own bound is 20 s (`runtime.drain_s`).
const STOP_WITHIN: Duration = Duration::from_secs(30);
/// How long a look at the whole driver index may take.
const CHECKED_WITHIN: Duration = Duration::from_secs(180);
/// How long the end of a killed process may take.
const GONE_WITHIN: Duration = Duration::from_secs(5);
/// Between two looks at something that takes its time.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// The settings of a server: name and value of variables of its environment.
pub(crate) type Settings = Vec<(Cow<'static, str>, String)>;

/// How a server is started.
#[derive(Clone, Default)]
pub(crate) struct Launch {
    pub(crate) settings: Settings,
    /// The one core that it may use.
    pub(crate) core: Option<u32>,
    /// Files of its folder, which is its working directory: name and content.
    pub(crate) files: Vec<(&'static str, String)>,
}

/// A running gateway. Dropping it kills the process and removes the folder, unless it is to be kept.
pub(crate) struct Server {
    binary: PathBuf,
    folder: PathBuf,
    keeps_folder: bool,
    public: SocketAddr,
    internal: SocketAddr,
    settings: Settings,
    core: Option<u32>,
    http: reqwest::Client,
    child: Child,
    began: Instant,
    /// Whether it was seen to be ready since its last start.
    pub(crate) is_ready: bool,
    /// How long each start took that was not cut short, the first one first.
    pub(crate) starts: Vec<Duration>,
}

impl Server {
    /// Starts `binary` and waits until it is ready. Settings in this process's environment reach it too, and win.
    ///
    /// # Errors
    /// What went wrong, in words; the folder with the log is named and left.
    pub(crate) async fn start(binary: &Path, launch: Launch) -> Result<Self, String> {
        let folder =
            std::env::temp_dir().join(format!("loadtest-{}-{:08x}", std::process::id(), rand::random::<u32>()));
        DirBuilder::new().mode(0o700).create(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        Self::start_in(binary, launch, folder, false).await
    }

    /// One more, in the folder of this one, which has to stay longer.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub(crate) async fn start_beside(&self, launch: Launch) -> Result<Self, String> {
        Self::start_in(&self.binary, launch, self.folder.clone(), true).await
    }

    async fn start_in(binary: &Path, launch: Launch, folder: PathBuf, keeps_folder: bool) -> Result<Self, String> {
        let Launch { settings, core, files } = launch;
        let binary = binary.canonicalize().map_err(|e| format!("{}: {e}", binary.display()))?;
        let (public, internal) = free_ports().map_err(|e| format!("no free port: {e}"))?;
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(2))
            .pool_max_idle_per_host(0)
            .build()
            .map_err(|e| e.to_string())?;
        let settings = settings.into_iter().filter(|(name, _)| std::env::var_os(&**name).is_none()).collect();
        for (name, content) in files {
            std::fs::write(folder.join(name), content).map_err(|e| format!("{name}: {e}"))?;
        }
        let child = spawn(&binary, &folder, public, internal, &settings, core)?;
        let (began, is_ready, starts) = (Instant::now(), false, Vec::new());
        let mut server = Self {
            binary,
            folder,
            keeps_folder,
            public,
            internal,
            settings,
            core,
            http,
            child,
            began,
            is_ready,
            starts,
        };
        server.until_ready().await.inspect_err(|_| server.keep_folder())?;
        Ok(server)
    }

    /// Where passengers reach it.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.public)
    }

    /// Its internal listener.
    pub(crate) fn internal(&self) -> SocketAddr {
        self.internal
    }

    /// Its process, while it runs.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// SIGKILL, then the same again on the same folder and ports; it is starting when this returns.
    ///
    /// # Errors
    /// What went wrong, in words.
    pub(crate) async fn kill_and_start_again(&mut self) -> Result<(), String> {
        // One that had ended by itself must not pass for one that was killed.
        if let Ok(Some(status)) = self.child.try_wait() {
            return Err(format!("it had ended by itself before it was killed: {status}"));
        }
        self.child.kill().await.map_err(|e| format!("it could not be killed: {e}"))?;
        self.child = spawn(&self.binary, &self.folder, self.public, self.internal, &self.settings, self.core)?;
        (self.began, self.is_ready) = (Instant::now(), false);
        Ok(())
    }

    /// Waits until it ends by itself; how.
    pub(crate) async fn ended(&mut self) -> String {
        match self.child.wait().await {
            Ok(status) => format!("it ended by itself: {status}"),
            Err(error) => format!("nothing is known of it any more: {error}"),
        }
    }

    /// Waits until it is ready. May be dropped and called again.
    ///
    /// # Errors
    /// It ended by itself, or is not ready in time; in words.
    pub(crate) async fn until_ready(&mut self) -> Result<(), String> {
        let url = format!("http://{}/health/ready", self.internal);
        while self.began.elapsed() < READY_WITHIN {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("the server ended at its start with {status}; see {}", self.log().display()));
            }
            if self.http.get(&url).send().await.is_ok_and(|answer| answer.status().is_success()) {
                self.starts.push(self.began.elapsed());
                self.is_ready = true;
                return Ok(());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Err(format!("the server was not ready within {} s; see {}", READY_WITHIN.as_secs(), self.log().display()))
    }

    /// How long ago its last start began.
    pub(crate) fn since_start(&self) -> Duration {
        self.began.elapsed()
    }

    /// What it needs was taken away and is back: it is to be waited for.
    pub(crate) fn is_to_recover(&mut self) {
        (self.began, self.is_ready) = (Instant::now(), false);
    }

    /// Whether the driver index agrees with the rides, as the server's own command says; what it said if not.
    ///
    /// # Errors
    /// The command's last words.
    pub(crate) async fn consistency(&self) -> Result<(), String> {
        let mut check = Command::new(&self.binary);
        check.args(["consistency", "check"]).current_dir(&self.folder).kill_on_drop(true);
        check.envs(self.settings.iter().map(|(name, value)| (&**name, value))).stdin(Stdio::null());
        let said = tokio::time::timeout(CHECKED_WITHIN, check.output()).await;
        let said = said.map_err(|_| "the check did not end in time")?.map_err(|e| e.to_string())?;
        if said.status.success() {
            return Ok(());
        }
        let words = String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned();
        Err(format!("{}: {}", said.status, words.trim()))
    }

    /// SIGTERM, and SIGKILL when that does not end it in time.
    ///
    /// # Errors
    /// What was wrong with its end, in words. It is gone in any case.
    pub(crate) async fn stop(&mut self) -> Result<(), String> {
        let Some(pid) = self.child.id() else { return Err(self.ended().await) };
        let asked = Command::new("/bin/kill").arg("-TERM").arg(pid.to_string()).status().await;
        if !asked.as_ref().is_ok_and(ExitStatus::success) {
            let _ = self.child.kill().await;
            return Err(format!("it could not be sent SIGTERM: {asked:?}"));
        }
        match tokio::time::timeout(STOP_WITHIN, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(format!("after SIGTERM it ended with {status}")),
            Ok(Err(error)) => Err(format!("nothing is known of its end: {error}")),
            Err(_) => {
                let _ = self.child.kill().await;
                Err(format!("{} s after SIGTERM it was still there", STOP_WITHIN.as_secs()))
            }
        }
    }

    /// What SQLite itself finds in the database of a server that has stopped; none without a `sqlite3` program here.
    pub(crate) async fn integrity(&self) -> Option<String> {
        let mut check = Command::new("sqlite3");
        check.arg(self.folder.join(DATABASE)).arg("PRAGMA integrity_check").stdin(Stdio::null());
        let said = check.output().await.ok()?;
        Some(String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).trim().to_owned())
    }

    /// Where the sandbox's bank writes its statement.
    pub(crate) fn statement(&self) -> PathBuf {
        self.folder.join(STATEMENT)
    }

    /// Leaves its data and its log, and says where.
    pub(crate) fn keep_folder(&mut self) {
        self.keeps_folder = true;
        eprintln!("loadtest: the server's data and log are in {}", self.folder.display());
    }

    fn log(&self) -> PathBuf {
        self.folder.join(LOG)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.start_kill();
        if self.keeps_folder {
            return;
        }
        let began = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) && began.elapsed() < GONE_WITHIN {
            std::thread::sleep(LOOK_EVERY);
        }
        if let Err(error) = std::fs::remove_dir_all(&self.folder) {
            eprintln!("loadtest: {} is left: {error}", self.folder.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_dropped_server_leaves_neither_process_nor_folder() {
        let (folder, child) = (std::env::temp_dir().join(format!("loadtest-drop-{}", std::process::id())), sleeper());
        std::fs::create_dir(&folder).unwrap();
        let pid = child.id().unwrap();
        let (public, internal) = free_ports().unwrap();
        let (binary, began, is_ready) = (PathBuf::from("sleep"), Instant::now(), true);
        let (http, settings, core, starts) = (reqwest::Client::new(), Vec::new(), None, Vec::new());
        let keeps_folder = false;
        let folder_too = folder.clone();
        drop(Server {
            binary,
            folder,
            keeps_folder,
            public,
            internal,
            settings,
            core,
            http,
            child,
            began,
            is_ready,
            starts,
        });
        assert!(!folder_too.exists());
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
    }

    fn sleeper() -> Child {
        Command::new("sleep").arg("600").spawn().unwrap()
    }

    #[tokio::test]
    async fn a_server_that_ends_at_once_is_an_error_that_names_its_log() {
        let error = Server::start(Path::new("/bin/false"), Launch::default()).await.err().unwrap();
        assert!(error.contains("ended at its start") && error.contains(LOG), "{error}");
        let log = Path::new(error.rsplit("see ").next().unwrap());
        std::fs::remove_dir_all(log.parent().unwrap()).unwrap();
    }
}
