//! A gateway of our own: the built binary on free ports, in a temporary folder that goes with it.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Stdio,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::{Child, Command},
};

use crate::step;

/// How long a start may take.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// How long a stop may take: the product's own bound is `runtime.drain_s`, 20 s.
const STOP_WITHIN: Duration = Duration::from_secs(30);
/// Between the choice of a free port and its use somebody else may take it.
const START_ATTEMPTS: usize = 5;

/// A running gateway. Dropped, it is killed and its folder removed.
pub(crate) struct Gateway {
    // Before the folder: the process goes first.
    child: Child,
    folder: Folder,
    public: SocketAddr,
    internal: SocketAddr,
}

impl Gateway {
    /// Starts `binary` with some settings changed, such as `("GATEWAY__STORE__READERS", "2")`, and waits until it is
    /// ready.
    ///
    /// # Errors
    /// It did not become ready; its last lines.
    pub(crate) async fn start(binary: &Path, settings: &[(&str, &str)]) -> Result<Self, String> {
        let mut log = String::new();
        for _ in 0..START_ATTEMPTS {
            let mut gateway = Self::spawn(binary, settings)?;
            if gateway.is_ready().await {
                return Ok(gateway);
            }
            log = gateway.log();
            if !log.contains("in use") {
                break;
            }
        }
        Err(format!("the gateway did not become ready:\n{}", last_lines(&log, 20)))
    }

    fn spawn(binary: &Path, settings: &[(&str, &str)]) -> Result<Self, String> {
        let folder = Folder::new()?;
        let (public, internal) = free_ports().map_err(|error| format!("no free port: {error}"))?;
        let log = File::create(folder.log()).map_err(|error| error.to_string())?;
        let log_too = log.try_clone().map_err(|error| error.to_string())?;
        let mut command = Command::new(binary);
        // Settings of whoever calls us must not leak into it.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("GATEWAY__")) {
            command.env_remove(name);
        }
        let child = command
            .arg("serve")
            .current_dir(&folder.0)
            .env("GATEWAY__HTTP__PUBLIC_BIND", public.to_string())
            .env("GATEWAY__HTTP__INTERNAL_BIND", internal.to_string())
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(log_too)
            // Ctrl-C in a terminal reaches every process of the group: this one is ended by us, not by the key.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("{}: {error}", binary.display()))?;
        Ok(Self { child, folder, public, internal })
    }

    /// Where passengers reach it.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.public)
    }

    /// Where operators and drivers' systems reach it.
    pub(crate) fn internal_url(&self) -> String {
        format!("http://{}", self.internal)
    }

    /// Everything it has logged.
    pub(crate) fn log(&self) -> String {
        fs::read(self.folder.log()).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Asks it to leave and waits until it has.
    ///
    /// # Errors
    /// It had ended before, ended with another code than 0, or did not end in time.
    pub(crate) async fn stop(&mut self) -> Result<(), String> {
        if let Ok(Some(status)) = self.child.try_wait() {
            return Err(format!("the gateway had ended by itself: {status}"));
        }
        let id = self.child.id().map(|id| id.to_string()).unwrap_or_default();
        crate::program::Program::new("kill").arguments(["-TERM", &id]).run().await?;
        match tokio::time::timeout(STOP_WITHIN, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(format!("after SIGTERM the gateway ended with {status}")),
            Ok(Err(error)) => Err(format!("nothing is known of the gateway's end: {error}")),
            Err(_) => Err(format!("{} s after SIGTERM the gateway was still there", STOP_WITHIN.as_secs())),
        }
    }

    async fn is_ready(&mut self) -> bool {
        let begun = step::now();
        while step::since(begun) < READY_WITHIN {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return false;
            }
            // Our own process must still be there: somebody else's on its port could have answered.
            if answers_well(self.internal).await && matches!(self.child.try_wait(), Ok(None)) {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        false
    }
}

/// Whether `GET /health/ready` is answered with 200.
async fn answers_well(address: SocketAddr) -> bool {
    let ask = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(b"GET /health/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.map(|_| answer)
    };
    let answer = tokio::time::timeout(Duration::from_secs(2), ask).await;
    matches!(answer, Ok(Ok(answer)) if answer.starts_with(b"HTTP/1.1 200"))
}

/// Two ports that nobody listens on. They are free again when this returns; nobody else takes them, likely.
fn free_ports() -> std::io::Result<(SocketAddr, SocketAddr)> {
    let (a, b) = (TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?, TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?);
    Ok((a.local_addr()?, b.local_addr()?))
}

/// The end of a text.
pub(crate) fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

/// A temporary folder, removed with everything in it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self, String> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("passenger-gateway-xtask-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self(path))
    }

    fn log(&self) -> PathBuf {
        self.0.join("gateway.log")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A folder that stays behind in the system's temporary place harms nobody.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_program_that_ends_at_once_never_becomes_ready() {
        let error = Gateway::start(Path::new("/bin/false"), &[]).await.err().unwrap();
        assert!(error.contains("did not become ready"), "{error}");
    }

    #[test]
    fn the_end_of_a_short_text_is_all_of_it() {
        assert_eq!(last_lines("a\nb\nc", 2), "b\nc");
        assert_eq!(last_lines("a", 2), "a");
    }
}
