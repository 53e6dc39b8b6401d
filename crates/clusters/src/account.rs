//! Who runs the server: PostgreSQL refuses to run as root.

use std::{
    os::unix::{fs::chown, process::CommandExt as _},
    path::Path,
    process::{Command, Stdio},
};

use crate::Error;

/// Accounts to run as when we are root, best first.
const UNPRIVILEGED: [&str; 2] = ["postgres", "nobody"];

/// The account of the server and of everything that touches its files.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Account {
    /// Whoever we are.
    Ours,
    /// Somebody without rights, because we are root.
    Other {
        /// Number of the user.
        user: u32,
        /// Number of the group.
        group: u32,
    },
}

impl Account {
    /// The account to use here.
    ///
    /// # Errors
    /// We are root, and there is nobody else.
    pub(crate) fn choose() -> Result<Self, Error> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self::Ours);
        }
        let found = UNPRIVILEGED.into_iter().find_map(|name| Some((number("-u", name)?, number("-g", name)?)));
        let (user, group) = found.ok_or_else(|| {
            Error::NoPostgres(format!(
                "PostgreSQL does not run as root, and there is none of the users {UNPRIVILEGED:?}."
            ))
        })?;
        Ok(Self::Other { user, group })
    }

    /// A program that runs as this account.
    pub(crate) fn command(self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.stdin(Stdio::null());
        if let Self::Other { user, group } = self {
            command.uid(user).gid(group);
        }
        command
    }

    /// What to write before a command line so that it runs as this account.
    pub(crate) fn prefix(self) -> Vec<String> {
        match self {
            Self::Ours => Vec::new(),
            Self::Other { user, group } => {
                vec![
                    "setpriv".to_owned(),
                    format!("--reuid={user}"),
                    format!("--regid={group}"),
                    "--clear-groups".to_owned(),
                ]
            }
        }
    }

    /// Gives a file or folder to this account.
    ///
    /// # Errors
    /// It cannot be given away.
    pub(crate) fn own(self, path: &Path) -> Result<(), Error> {
        match self {
            Self::Ours => Ok(()),
            Self::Other { user, group } => chown(path, Some(user), Some(group)).map_err(Error::file(path)),
        }
    }
}

/// A number of a user that is not root.
fn number(of: &str, name: &str) -> Option<u32> {
    let output = Command::new("id").args([of, name]).output().ok()?;
    String::from_utf8_lossy(&output.stdout).trim().parse().ok().filter(|number| *number != 0)
}
