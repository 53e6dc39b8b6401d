//! A gateway of the tool's own: started in a private folder on free ports, killed and started again when asked, stopped.

use std::{
    fs::{DirBuilder, File},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::{Duration, Instant},
};

use tokio::process::{Child, Command};

/// How long a start may take.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// How long a stop may take: the product's own bound is 20 s (`runtime.drain_s`).
const STOP_WITHIN: Duration = Duration::from_secs(30);

/// A running gateway. Dropping it kills the process.
pub(crate) struct Server {
    binary: PathBuf,
    folder: PathBuf,
    public: SocketAddr,
    internal: SocketAddr,
    http: reqwest::Client,
    child: Child,
}

impl Server {
    /// Starts `binary` and waits until it is ready. Settings in this process's environment reach it too.
    ///
    /// # Errors
    /// What went wrong, in words; the folder with the log is named.
    pub(crate) async fn start(binary: &Path) -> Result<Self, String> {
        let binary = binary.canonicalize().map_err(|e| format!("{}: {e}", binary.display()))?;
        let folder =
            std::env::temp_dir().join(format!("loadtest-{}-{:08x}", std::process::id(), rand::random::<u32>()));
        DirBuilder::new().mode(0o700).create(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        let (public, internal) = free_ports().map_err(|e| format!("no free port: {e}"))?;
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(2))
            .pool_max_idle_per_host(0)
            .build()
            .map_err(|e| e.to_string())?;
        let child = spawn(&binary, &folder, public, internal)?;
        let mut server = Self { binary, folder, public, internal, http, child };
        server.ready().await?;
        Ok(server)
    }

    /// Where passengers reach it.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.public)
    }

    /// SIGKILL, then the same again on the same folder and ports, ready when this returns.
    ///
    /// # Errors
    /// What went wrong, in words.
    pub(crate) async fn kill_and_start_again(&mut self) -> Result<(), String> {
        self.child.kill().await.map_err(|e| format!("it could not be killed: {e}"))?;
        self.child = spawn(&self.binary, &self.folder, self.public, self.internal)?;
        self.ready().await
    }

    /// Waits until it ends by itself.
    pub(crate) async fn ended(&mut self) -> String {
        match self.child.wait().await {
            Ok(status) => format!("it ended by itself: {status}"),
            Err(error) => format!("nothing is known of it any more: {error}"),
        }
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

    /// Where its data and its log are.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Removes its data and its log.
    pub(crate) fn remove_folder(&self) {
        if let Err(error) = std::fs::remove_dir_all(&self.folder) {
            eprintln!("loadtest: {} is left: {error}", self.folder.display());
        }
    }

    async fn ready(&mut self) -> Result<(), String> {
        let (began, url) = (Instant::now(), format!("http://{}/health/ready", self.internal));
        while began.elapsed() < READY_WITHIN {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("the server ended at its start with {status}; see {}", self.log().display()));
            }
            if self.http.get(&url).send().await.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Err(format!("the server was not ready within {} s; see {}", READY_WITHIN.as_secs(), self.log().display()))
    }

    fn log(&self) -> PathBuf {
        self.folder.join(LOG)
    }
}

const LOG: &str = "server.log";

fn spawn(binary: &Path, folder: &Path, public: SocketAddr, internal: SocketAddr) -> Result<Child, String> {
    let path = folder.join(LOG);
    let log = File::options().create(true).append(true).open(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let log_too = log.try_clone().map_err(|e| format!("{}: {e}", path.display()))?;
    Command::new(binary)
        .arg("serve")
        .current_dir(folder)
        .env("GATEWAY__HTTP__PUBLIC_BIND", public.to_string())
        .env("GATEWAY__HTTP__INTERNAL_BIND", internal.to_string())
        .env("GATEWAY__STORE__SHARDS", format!("sqlite://{}", folder.join("gateway.db").display()))
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(log_too)
        // Ctrl-C in a terminal reaches every process of the group: the server is stopped by this tool, not by the key.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| format!("{}: {e}", binary.display()))
}

/// Two ports that nobody listens on. They are free again when this returns; nobody else takes them, likely.
fn free_ports() -> std::io::Result<(SocketAddr, SocketAddr)> {
    let (a, b) = (TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?, TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?);
    Ok((a.local_addr()?, b.local_addr()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_free_ports_of_this_machine_differ() {
        let (public, internal) = free_ports().unwrap();
        assert!(public.ip().is_loopback() && internal.ip().is_loopback());
        assert_ne!(public, internal);
    }

    #[tokio::test]
    async fn a_server_that_ends_at_once_is_an_error_that_names_its_log() {
        let error = Server::start(Path::new("/bin/false")).await.err().unwrap();
        assert!(error.contains("ended at its start") && error.contains(LOG), "{error}");
        let log = Path::new(error.rsplit("see ").next().unwrap());
        std::fs::remove_dir_all(log.parent().unwrap()).unwrap();
    }
}
