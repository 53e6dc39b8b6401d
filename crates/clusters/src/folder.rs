//! The temporary folder of a server.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use crate::{Error, account::Account, random};

/// A folder that only the server's account may enter; removed when dropped.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// A new one in the system's temporary place.
    ///
    /// # Errors
    /// It cannot be made.
    pub(crate) fn new(account: Account) -> Result<Self, Error> {
        let path = std::env::temp_dir().join(format!("passenger-gateway-postgres-{}", random::hex::<6>()?));
        DirBuilder::new().mode(0o700).create(&path).map_err(Error::file(&path))?;
        let folder = Self(path);
        account.own(&folder.0)?;
        Ok(folder)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// What the server keeps.
    pub(crate) fn data(&self) -> PathBuf {
        self.0.join("data")
    }

    /// What the server writes.
    pub(crate) fn log(&self) -> PathBuf {
        self.0.join("log")
    }

    /// Everything that the server has written.
    pub(crate) fn read_log(&self) -> String {
        fs::read(self.log()).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Mostly its keeper has removed it already.
        if let Err(error) = fs::remove_dir_all(&self.0)
            && error.kind() != io::ErrorKind::NotFound
        {
            eprintln!("{} stays behind: {error}", self.0.display());
        }
    }
}
