//! PostgreSQL's programs on this machine.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{Error, install};

/// The oldest version that will do.
pub const OLDEST: u32 = 14;

/// The variable that names the folder to use, before any that is found.
const VARIABLE: &str = "PG_BIN";
/// Where Debian puts each version.
const DEBIAN: &str = "/usr/lib/postgresql";
/// What must be in the folder.
const PROGRAMS: [&str; 3] = ["initdb", "postgres", "psql"];

/// The folder of PostgreSQL's programs, looked at and found usable.
#[derive(Clone, Debug)]
pub struct Binaries {
    folder: PathBuf,
    version: u32,
}

impl Binaries {
    /// Those in the folder that `PG_BIN` names; else the newest of Debian's; else those in the search path.
    ///
    /// # Errors
    /// [`Error::NoPostgres`]: there are none, or `PG_BIN` names others; what is wrong with them and what to do.
    pub fn find() -> Result<Self, Error> {
        match env::var_os(VARIABLE) {
            Some(folder) => Self::named(Path::new(&folder)),
            None => Self::first_of(candidates()),
        }
    }

    /// As [`Binaries::find`]; where there are none, and we are root on a Debian, installs them. Debian's own server is
    /// not set up by that, and nothing is started.
    ///
    /// # Errors
    /// As [`Binaries::find`], and what the installation said.
    pub fn find_or_install() -> Result<Self, Error> {
        let missing = match Self::find() {
            Err(Error::NoPostgres(missing)) if env::var_os(VARIABLE).is_none() => missing,
            found_or_wrong => return found_or_wrong,
        };
        if !install::is_possible() {
            return Err(Error::NoPostgres(missing));
        }
        install::run()?;
        Self::find()
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The version's first number, such as 15.
    pub fn version(&self) -> u32 {
        self.version
    }

    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn named(folder: &Path) -> Result<Self, Error> {
        Self::inspect(folder).map_err(|why| Error::NoPostgres(format!("{VARIABLE} names {}: {why}.", folder.display())))
    }

    fn first_of(folders: Vec<PathBuf>) -> Result<Self, Error> {
        let mut wrong = String::new();
        for folder in folders {
            match Self::inspect(&folder) {
                Ok(found) => return Ok(found),
                Err(why) => wrong.push_str(&format!("\n  {}: {why}", folder.display())),
            }
        }
        Err(Error::NoPostgres(match wrong.as_str() {
            "" => format!("There is no PostgreSQL in {DEBIAN} and in the search path."),
            wrong => format!("There is no PostgreSQL that could be used:{wrong}"),
        }))
    }

    /// What is wrong with a folder, in words.
    fn inspect(folder: &Path) -> Result<Self, String> {
        if let Some(missing) = PROGRAMS.iter().find(|name| !folder.join(name).is_file()) {
            return Err(format!("there is no {missing} in it"));
        }
        let output = Command::new(folder.join("postgres")).arg("--version").output();
        let output = output.map_err(|error| format!("postgres cannot be run: {error}"))?;
        let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        match version(&said) {
            Some(version) if version >= OLDEST => Ok(Self { folder: folder.to_owned(), version }),
            Some(version) => Err(format!("it is version {version}, older than {OLDEST}")),
            None => Err(format!("its postgres is not PostgreSQL's: asked for its version it says {said:?}")),
        }
    }
}

/// Every folder that may hold them, best first.
fn candidates() -> Vec<PathBuf> {
    let versions = fs::read_dir(DEBIAN).into_iter().flatten().flatten();
    let mut versions: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .collect();
    versions.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    let path = env::var_os("PATH").unwrap_or_default();
    let in_path = env::split_paths(&path).filter(|folder| folder.join("initdb").is_file());
    // In the search path there may be links to some of the programs only: their real folder has all.
    let in_path =
        in_path.filter_map(|folder| fs::canonicalize(folder.join("initdb")).ok()?.parent().map(Path::to_owned));
    versions.into_iter().map(|(_, folder)| folder).chain(in_path).collect()
}

/// `postgres (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)` → 15; also `16beta1` and `17devel`.
fn version(said: &str) -> Option<u32> {
    let number = said.strip_prefix("postgres (PostgreSQL) ")?;
    let end = number.find(|c: char| !c.is_ascii_digit()).unwrap_or(number.len());
    number[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::{account::Account, folder::Folder};

    /// A folder with programs that say this when asked for their version.
    fn programs(names: &[&str], say: &str) -> Folder {
        let folder = Folder::new(Account::Ours).unwrap();
        for name in names {
            let path = folder.path().join(name);
            fs::write(&path, format!("#!/bin/sh\necho '{say}'\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        folder
    }

    fn complaint(folder: &Folder) -> String {
        Binaries::named(folder.path()).unwrap_err().to_string()
    }

    #[test]
    fn wrong_programs_are_named_with_what_is_wrong_and_what_to_do() {
        for (folder, words) in [
            (programs(&[], ""), "no initdb in it"),
            (programs(&["initdb", "postgres"], ""), "no psql in it"),
            (programs(&PROGRAMS, "hello"), "not PostgreSQL's: asked for its version it says \"hello\""),
            (programs(&PROGRAMS, "postgres (PostgreSQL) 9.6.24"), "version 9, older than 14"),
        ] {
            let complaint = complaint(&folder);
            let place = folder.path().display().to_string();
            for word in [words, "PG_BIN", &place, "apt-get install postgresql"] {
                assert!(complaint.contains(word), "{word}: {complaint}");
            }
        }
    }

    #[test]
    fn the_first_folder_that_will_do_is_taken_and_a_failure_names_each() {
        let old = programs(&PROGRAMS, "postgres (PostgreSQL) 11.3");
        let (good, better) =
            (programs(&PROGRAMS, "postgres (PostgreSQL) 14.0"), programs(&PROGRAMS, "postgres (PostgreSQL) 18.1"));
        let places = [&old, &good, &better].map(|folder| folder.path().to_owned());
        let found = Binaries::first_of(places.to_vec()).unwrap();
        assert_eq!((found.folder(), found.version()), (good.path(), 14));
        let complaint = Binaries::first_of(vec![old.path().to_owned()]).unwrap_err().to_string();
        assert!(complaint.contains(&old.path().display().to_string()) && complaint.contains("11"), "{complaint}");
        let complaint = Binaries::first_of(vec![]).unwrap_err().to_string();
        assert!(complaint.contains("no PostgreSQL in /usr/lib/postgresql and in the search path"), "{complaint}");
    }

    #[test]
    fn versions_are_read_as_postgres_says_them() {
        assert_eq!(version("postgres (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)"), Some(15));
        assert_eq!(version("postgres (PostgreSQL) 19devel"), Some(19));
        assert_eq!(version("postgres (PostgreSQL) 18beta1"), Some(18));
        assert_eq!(version("postgres (PostgreSQL) "), None);
        assert_eq!(version("psql (PostgreSQL) 15.13"), None);
    }
}
