//! Installing PostgreSQL where it is missing: root on a Debian, as in a container that runs the checks.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use crate::Error;

/// Read by Debian's own scripts while the package is installed.
const NO_SERVER_OF_DEBIAN: &str = "/etc/postgresql-common/createcluster.d/passenger-gateway.conf";

/// Whether we may install packages, and know how.
pub(crate) fn is_possible() -> bool {
    rustix::process::geteuid().is_root() && Path::new("/usr/bin/apt-get").exists()
}

/// Installs the newest version that Debian has. Its own server is neither made nor started.
///
/// # Errors
/// What the package manager said.
pub(crate) fn run() -> Result<(), Error> {
    eprintln!("installing PostgreSQL: apt-get install postgresql");
    let _guard = NoServer::new()?;
    let install = ["install", "-y", "-q", "--no-install-recommends", "postgresql"];
    // On a machine whose lists of packages are empty or old, they are fetched first.
    apt(&install).or_else(|_| apt(&["update", "-q"]).and_then(|()| apt(&install)))
}

fn apt(arguments: &[&str]) -> Result<(), Error> {
    let mut command = Command::new("/usr/bin/apt-get");
    command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null());
    let output = command.output().map_err(|error| Error::program("apt-get", error))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Error::program(&format!("apt-get {}", arguments.join(" ")), said.trim()))
}

/// While this is there, the package makes no server of its own.
struct NoServer;

impl NoServer {
    fn new() -> Result<Self, Error> {
        let path = Path::new(NO_SERVER_OF_DEBIAN);
        let folder = path.parent().unwrap_or(path);
        fs::create_dir_all(folder).map_err(Error::file(folder))?;
        fs::write(path, "create_main_cluster = false\n").map_err(Error::file(path))?;
        Ok(Self)
    }
}

impl Drop for NoServer {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(NO_SERVER_OF_DEBIAN) {
            eprintln!("{NO_SERVER_OF_DEBIAN} stays behind: {error}");
        }
    }
}
