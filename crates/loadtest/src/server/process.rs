//! The server's process: its folder's files, its ports and its settings.

use std::{
    fs::File,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    process::Stdio,
};

use tokio::process::{Child, Command};

use super::Settings;

pub(super) const LOG: &str = "server.log";
pub(super) const DATABASE: &str = "gateway.db";
pub(super) const STATEMENT: &str = "bank.csv";

/// Starts the process in its folder.
///
/// # Errors
/// What went wrong, in words.
pub(super) fn spawn(
    binary: &Path,
    folder: &Path,
    public: SocketAddr,
    internal: SocketAddr,
    settings: &Settings,
    core: Option<u32>,
) -> Result<Child, String> {
    let path = folder.join(LOG);
    let log = File::options().create(true).append(true).open(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let log_too = log.try_clone().map_err(|e| format!("{}: {e}", path.display()))?;
    let mut command = match core {
        None => Command::new(binary),
        // It puts itself in the program's place: the process is the server's.
        Some(core) => {
            let mut command = Command::new("taskset");
            command.arg("--cpu-list").arg(core.to_string()).arg(binary);
            command
        }
    };
    command
        .arg("serve")
        .current_dir(folder)
        .env("GATEWAY__HTTP__PUBLIC_BIND", public.to_string())
        .env("GATEWAY__HTTP__INTERNAL_BIND", internal.to_string())
        .env("GATEWAY__STORE__SHARDS", format!("sqlite://{}", folder.join(DATABASE).display()))
        .env("GATEWAY__SANDBOX__BANK_STATEMENT", folder.join(STATEMENT))
        .envs(settings.iter().map(|(name, value)| (&**name, value)))
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(log_too)
        // Ctrl-C in a terminal reaches every process of the group: the server is stopped by this tool, not by the key.
        .process_group(0)
        .spawn()
        .map_err(|e| format!("{}: {e}", binary.display()))
}

/// Two ports that nobody listens on. They are free again when this returns; nobody else takes them, likely.
pub(super) fn free_ports() -> std::io::Result<(SocketAddr, SocketAddr)> {
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
}
