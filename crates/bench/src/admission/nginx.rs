//! nginx with `limit_req`, the peer of a refusal: a configuration and a folder of its own, one worker, a private port.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use super::cores::Cores;
use crate::{
    clock,
    process::{Process, said},
};

const READY_WITHIN: Duration = Duration::from_secs(10);
/// What every answer of any server says of itself, and the body's own length.
const OWN: [&str; 8] = [
    "connection",
    "content-length",
    "content-type",
    "date",
    "keep-alive",
    "server",
    "transfer-encoding",
    "x-request-id",
];

/// A running nginx; ended when dropped.
pub(crate) struct Nginx {
    master: u32,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// The worker: the master does nothing while it serves.
    pub(crate) worker: Process,
    /// As it names itself.
    pub(crate) version: String,
}

impl Nginx {
    /// Starts it in `folder`; what it refuses carries `headers` too, as far as they are not any server's own.
    ///
    /// # Errors
    /// It is not installed, or does not start.
    pub(crate) async fn start(cores: &Cores, folder: &Path, headers: &[(String, String)]) -> Result<Self, String> {
        let binary = find()?;
        fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|e| e.to_string())?;
        let address = listener.local_addr().map_err(|e| e.to_string())?;
        drop(listener);
        let (text, log) = (folder.join("nginx.conf"), folder.join("error.log"));
        fs::write(&text, configuration(address, headers)?).map_err(|e| format!("{}: {e}", text.display()))?;
        let mut command = cores.server(&binary);
        command.arg("-p").arg(folder).arg("-c").arg(&text).arg("-e").arg(&log);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(false);
        let mut child = command.spawn().map_err(|e| format!("{}: {e}", binary.display()))?;
        let began = clock::now();
        while TcpStream::connect(address).is_err() {
            let is_late = began.elapsed() > READY_WITHIN;
            if is_late || child.try_wait().is_ok_and(|ended| ended.is_some()) {
                return Err(format!("nginx did not start: {}", fs::read_to_string(&log).unwrap_or_default()));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let master = child.id().ok_or("nginx has ended")?;
        let [worker] = children(master)?[..] else { return Err("nginx has not exactly one worker".to_owned()) };
        let version = std::process::Command::new(&binary).arg("-v").output().map_err(|e| e.to_string())?;
        let version = String::from_utf8_lossy(&version.stderr).trim().replace("nginx version: ", "");
        Ok(Self { master, address, worker: Process::new(worker)?, version })
    }
}

impl Drop for Nginx {
    /// A master that is killed leaves its worker behind; told to end, it ends the worker first.
    fn drop(&mut self) {
        if let Err(error) = said("kill", &["-TERM", &self.master.to_string()]) {
            eprintln!("bench: nginx (process {}) is left: {error}", self.master);
        }
    }
}

/// In the search path, or where Debian puts it, which is not in everybody's search path.
fn find() -> Result<PathBuf, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    let found = folders.map(|folder| folder.join("nginx")).find(|file| file.is_file());
    found.ok_or_else(|| "there is no nginx, the peer of this row (Debian: apt-get install nginx)".to_owned())
}

fn children(pid: u32) -> Result<Vec<u32>, String> {
    let file = format!("/proc/{pid}/task/{pid}/children");
    let text = fs::read_to_string(&file).map_err(|e| format!("{file}: {e}"))?;
    text.split_whitespace().map(|child| child.parse().map_err(|_| format!("{file}: {text}"))).collect()
}

/// One worker, no access log, keep-alive without end, a request id on every answer, one unit a minute for each address: after
/// the first, everything is refused. Nothing but the limit runs before the answer.
fn configuration(address: SocketAddr, headers: &[(String, String)]) -> Result<String, String> {
    let mut added = String::new();
    for (name, value) in headers.iter().filter(|(name, _)| !OWN.contains(&name.as_str())) {
        added += &format!("            add_header {name} {} always;\n", quoted(value)?);
    }
    Ok(format!(
        "daemon off;
worker_processes 1;
pid nginx.pid;
error_log error.log crit;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path temp;
    proxy_temp_path temp;
    fastcgi_temp_path temp;
    uwsgi_temp_path temp;
    scgi_temp_path temp;
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
    limit_req_zone $binary_remote_addr zone=address:10m rate=1r/m;
    limit_req_status 429;
    server {{
        listen {address};
        location / {{
            limit_req zone=address;
            empty_gif;
            add_header x-request-id $request_id always;
{added}        }}
    }}
}}
"
    ))
}

/// A value as nginx reads it. A dollar would begin a variable and cannot be escaped.
fn quoted(value: &str) -> Result<String, String> {
    if value.contains(['$', '\n']) {
        return Err(format!("nginx cannot be told to send `{value}`"));
    }
    Ok(format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn nginx_refuses_everything_after_the_first_with_the_gateways_headers() {
        let headers =
            [header("ratelimit", r#""address";r=0;t=1"#), header("date", "today"), header("x-request-id", "7")];
        let text = configuration(([127, 0, 0, 1], 8099).into(), &headers).unwrap();
        for line in [
            "worker_processes 1;",
            "access_log off;",
            "limit_req_zone $binary_remote_addr zone=address:10m rate=1r/m;",
            "limit_req_status 429;",
            "listen 127.0.0.1:8099;",
            "add_header x-request-id $request_id always;",
            r#"add_header ratelimit '"address";r=0;t=1' always;"#,
        ] {
            assert!(text.lines().any(|is| is.trim() == line), "{line} is missing in\n{text}");
        }
        assert!(!text.contains("today") && text.matches("x-request-id").count() == 1, "{text}");
    }

    #[test]
    fn a_value_that_nginx_would_read_otherwise_is_escaped_or_refused() {
        assert_eq!(quoted(r"it's \ one").unwrap(), r"'it\'s \\ one'");
        assert!(quoted("$host").is_err());
    }
}
