//! A gateway of the bench's own: the release binary in a folder of its own on free ports.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::{Child, Command},
};

use crate::{clock, process::Process};

const READY_WITHIN: Duration = Duration::from_secs(60);
const STOP_WITHIN: Duration = Duration::from_secs(30);
/// How often a starting gateway is asked whether it is ready.
const ASK_EVERY: Duration = Duration::from_millis(1);
/// What it writes, in its folder.
const LOG: &str = "gateway.log";
/// Its database, in its folder.
const DATABASE: &str = "gateway.db";

/// Settings of every gateway that is measured. Limits that would refuse the client are out of its way, as nobody is
/// protected from a benchmark; everything else is as the product comes.
const SETTINGS: [(&str, &str); 4] = [
    ("GATEWAY__TRAFFIC__POLICIES", concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/no-limits.toml")),
    ("GATEWAY__AUTH__ACCESS_TTL_S", "86400"),
    ("GATEWAY__AUTH__OTP_TTL_S", "3600"),
    ("GATEWAY__QUOTES__TTL_S", "86400"),
];

/// A running gateway; killed when dropped.
pub(crate) struct Gateway {
    child: Child,
    folder: PathBuf,
    /// Its public listener.
    pub(crate) public: SocketAddr,
    /// Its internal listener.
    pub(crate) internal: SocketAddr,
    /// The process, as the operating system sees it.
    pub(crate) process: Process,
    /// From the start of the process to the first 200 of `/health/ready`.
    pub(crate) ready_after: Duration,
}

impl Gateway {
    /// Starts `binary` in `folder` with `settings` over the usual ones, and waits until it is ready.
    ///
    /// # Errors
    /// In words.
    pub(crate) async fn start(binary: &Path, folder: &Path, settings: &[(&str, &str)]) -> Result<Self, String> {
        Self::launch(Command::new(binary), folder, settings).await
    }

    /// The same by a `command` that becomes the gateway.
    ///
    /// # Errors
    /// In words.
    pub(crate) async fn launch(command: Command, folder: &Path, settings: &[(&str, &str)]) -> Result<Self, String> {
        let all: Vec<_> = SETTINGS.iter().chain(settings).copied().collect();
        Self::begin(command, folder, &all).await
    }

    /// Starts `binary` with no settings but these: every limit is where the product has it.
    ///
    /// # Errors
    /// In words.
    pub(crate) async fn start_as_shipped(
        binary: &Path,
        folder: &Path,
        settings: &[(&str, &str)],
    ) -> Result<Self, String> {
        Self::begin(Command::new(binary), folder, settings).await
    }

    async fn begin(mut command: Command, folder: &Path, settings: &[(&str, &str)]) -> Result<Self, String> {
        fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        let (public, internal) = free_ports().map_err(|e| format!("no free port: {e}"))?;
        let log = File::options().create(true).append(true).open(folder.join(LOG)).map_err(|e| e.to_string())?;
        let log_too = log.try_clone().map_err(|e| e.to_string())?;
        // Settings of whoever measures must not leak into what is measured.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("GATEWAY__")) {
            command.env_remove(name);
        }
        command
            .current_dir(folder)
            .env("GATEWAY__STORE__SHARDS", format!("sqlite://{DATABASE}"))
            .envs(settings.iter().copied())
            .env("GATEWAY__HTTP__PUBLIC_BIND", public.to_string())
            .env("GATEWAY__HTTP__INTERNAL_BIND", internal.to_string())
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(log_too)
            .kill_on_drop(true);
        let began = clock::now();
        let mut child = command.spawn().map_err(|e| format!("the gateway: {e}"))?;
        let ready_after = loop {
            if is_ready(internal).await {
                break began.elapsed();
            }
            if let Ok(Some(status)) = child.try_wait() {
                return Err(format!("the gateway ended at its start with {status}: {}", tail(folder)));
            }
            if began.elapsed() > READY_WITHIN {
                return Err(format!("the gateway was not ready in time: {}", tail(folder)));
            }
            tokio::time::sleep(ASK_EVERY).await;
        };
        let process = Process::new(child.id().ok_or("the gateway has ended")?)?;
        Ok(Self { child, folder: folder.to_owned(), public, internal, process, ready_after })
    }

    /// Where passengers reach it.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.public)
    }

    /// The same as an address.
    pub(crate) fn public(&self) -> SocketAddr {
        self.public
    }

    /// Its database's file.
    pub(crate) fn database(&self) -> PathBuf {
        self.folder.join(DATABASE)
    }

    /// Everything it has written.
    pub(crate) fn log(&self) -> String {
        fs::read(self.folder.join(LOG)).map(|log| String::from_utf8_lossy(&log).into_owned()).unwrap_or_default()
    }

    /// SIGTERM, and waits for its end: what is committed then lies in the database's file alone.
    ///
    /// # Errors
    /// It did not end well, or not in time.
    pub(crate) async fn stop(mut self) -> Result<PathBuf, String> {
        let pid = self.child.id().ok_or("the gateway has ended by itself")?;
        let _ = Command::new("kill").args(["-TERM", &pid.to_string()]).status().await;
        match tokio::time::timeout(STOP_WITHIN, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(self.folder.clone()),
            Ok(ended) => Err(format!("the gateway ended with {ended:?}: {}", tail(&self.folder))),
            Err(_) => Err("the gateway did not end in time".to_owned()),
        }
    }
}

/// A new database for a peer: a copy of a stopped gateway's.
///
/// # Errors
/// The file cannot be copied.
pub(crate) fn copy_database(stopped: &Path, to: &Path) -> Result<PathBuf, String> {
    fs::create_dir_all(to).map_err(|e| format!("{}: {e}", to.display()))?;
    let copy = to.join(DATABASE);
    fs::copy(stopped.join(DATABASE), &copy).map_err(|e| format!("{}: {e}", copy.display()))?;
    Ok(copy)
}

async fn is_ready(internal: SocketAddr) -> bool {
    let ask = async {
        let mut stream = TcpStream::connect(internal).await?;
        stream.write_all(b"GET /health/ready HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n").await?;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await?;
        Ok::<_, std::io::Error>(&answer == b"HTTP/1.1 200")
    };
    ask.await.unwrap_or(false)
}

fn tail(folder: &Path) -> String {
    let log = fs::read_to_string(folder.join(LOG)).unwrap_or_default();
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(5)..].join("\n")
}

/// Two ports that nobody listens on.
fn free_ports() -> std::io::Result<(SocketAddr, SocketAddr)> {
    let (a, b) = (TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?, TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?);
    Ok((a.local_addr()?, b.local_addr()?))
}
