//! The secrets that the local profile makes for itself, so that `cargo run` needs no setting. They outlive a restart,
//! or every token and phone lookup would be void, and are never used in production.

use std::{
    fs, io,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use runtime::{Entropy, Secret};
use serde::Deserialize;

use crate::{config::Profile, settings::Settings};

/// The service token of the `local` profile.
pub(crate) const LOCAL_TOKEN: &str = "local-dev-token";
/// The file inside the data folder.
const FILE: &str = "secrets.toml";
const KEY_BYTES: usize = 32;

/// Gives the local profile what it makes for itself; what is set stays.
///
/// # Errors
/// [`SecretsError`].
pub(crate) fn fill(settings: &mut Settings, entropy: &Entropy) -> Result<(), SecretsError> {
    let fill = |secret: &mut Secret, local| {
        if secret.reveal().is_empty() {
            *secret = local;
        }
    };
    if let Some(folder) = folder(settings) {
        let local = LocalSecrets::load_or_create(&folder, entropy)?;
        fill(&mut settings.auth.token_key, local.token_key);
        fill(&mut settings.auth.phone_key, local.phone_key);
    }
    if settings.profile == Profile::Local {
        fill(&mut settings.http.internal_token, Secret::new(LOCAL_TOKEN));
    }
    Ok(())
}

/// Whether [`fill`] would find secrets that it cannot use. Makes nothing: none yet is fine.
///
/// # Errors
/// [`SecretsError`].
pub(crate) fn check(settings: &Settings) -> Result<(), SecretsError> {
    folder(settings).map_or(Ok(()), |folder| LocalSecrets::load(&folder).map(drop))
}

/// Where the local profile keeps the keys that are not set: beside the SQLite file. `None` when it needs none.
fn folder(settings: &Settings) -> Option<PathBuf> {
    let auth = &settings.auth;
    let lacks_one = auth.token_key.reveal().is_empty() || auth.phone_key.reveal().is_empty();
    let database = settings.store.sqlite_path();
    let folder = database.as_deref().and_then(Path::parent).unwrap_or(Path::new("data"));
    (settings.profile == Profile::Local && lacks_one).then(|| folder.to_owned())
}

/// Keys of one's own machine, 32 bytes each in base64.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct LocalSecrets {
    /// Signs access tokens.
    token_key: Secret,
    /// Keys the hashes by which a phone is found.
    phone_key: Secret,
}

/// Local secrets could not be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecretsError {
    /// The file or its folder cannot be read or written.
    #[error("local secrets {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The file is there and is not what this program writes.
    #[error("local secrets {}: not `token_key` and `phone_key` of {KEY_BYTES} bytes in base64; remove it to get new ones (tokens and phone lookups made with the old ones are then void)", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
    },
}

impl LocalSecrets {
    /// Reads the secrets of `folder`, or makes them. Two processes that start together end up with the same ones.
    ///
    /// # Errors
    /// [`SecretsError`]; a malformed file is never overwritten.
    fn load_or_create(folder: &Path, entropy: &Entropy) -> Result<Self, SecretsError> {
        if let Some(secrets) = Self::load(folder)? {
            return Ok(secrets);
        }
        let path = folder.join(FILE);
        create(folder, &path, entropy).map_err(|source| SecretsError::Io { path: path.clone(), source })?;
        Self::load(folder)?.ok_or(SecretsError::Malformed { path })
    }

    /// Reads the secrets of `folder`; `None` when there are none yet.
    ///
    /// # Errors
    /// [`SecretsError`].
    fn load(folder: &Path) -> Result<Option<Self>, SecretsError> {
        let path = folder.join(FILE);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(SecretsError::Io { path, source }),
        };
        let secrets: Option<Self> = toml::from_str(&text).ok();
        let secrets = secrets.filter(|secrets| is_key(&secrets.token_key) && is_key(&secrets.phone_key));
        secrets.map(Some).ok_or(SecretsError::Malformed { path })
    }
}

/// Writes a whole file beside the target and links it there: readers see all of it or nothing, and of several
/// writers the first wins.
fn create(folder: &Path, path: &Path, entropy: &Entropy) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let key = || STANDARD.encode(entropy.bytes::<KEY_BYTES>());
    let text = format!(
        "# Made by the local profile. Keep it private; production takes its keys from the configuration.\n\
         token_key = \"{}\"\nphone_key = \"{}\"\n",
        key(),
        key()
    );
    let unique = u64::from_ne_bytes(entropy.bytes());
    let draft = folder.join(format!(".{FILE}.{unique:016x}"));
    let written = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()));
    let linked = written.and_then(|()| match fs::hard_link(&draft, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    });
    // A draft that was never made cannot be removed; the first error is the one to tell.
    let removed = fs::remove_file(&draft);
    linked.and(removed)
}

fn is_key(secret: &Secret) -> bool {
    STANDARD.decode(secret.reveal()).is_ok_and(|bytes| bytes.len() == KEY_BYTES)
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::PermissionsExt, sync::Barrier};

    use super::*;
    use crate::test_folder::TestFolder;

    #[test]
    fn secrets_outlive_a_restart_and_only_their_owner_may_read_them() {
        let folder = TestFolder::new();
        let first = LocalSecrets::load_or_create(folder.path(), &Entropy::system()).unwrap();
        let second = LocalSecrets::load_or_create(folder.path(), &Entropy::system()).unwrap();
        assert_eq!(first, second);
        assert_ne!(first.token_key, first.phone_key);
        let files: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap()).collect();
        assert_eq!(files.len(), 1, "no draft stays behind");
        assert_eq!(files[0].metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn processes_that_start_together_agree() {
        let folder = TestFolder::new();
        let start = Barrier::new(8);
        let all: Vec<_> = std::thread::scope(|scope| {
            let one = || {
                start.wait();
                LocalSecrets::load_or_create(folder.path(), &Entropy::system()).unwrap()
            };
            let running: Vec<_> = (0..8).map(|_| scope.spawn(one)).collect();
            running.into_iter().map(|one| one.join().unwrap()).collect()
        });
        assert!(all.iter().all(|secrets| *secrets == all[0]));
    }

    #[test]
    fn a_malformed_file_is_an_error_and_stays_as_it_is() {
        let folder = TestFolder::new();
        let text = "token_key = 'c2hvcnQ='\nphone_key = 'c2hvcnQ='\n";
        fs::write(folder.path().join(FILE), text).unwrap();
        let refused = LocalSecrets::load_or_create(folder.path(), &Entropy::system());
        assert!(matches!(refused, Err(SecretsError::Malformed { .. })));
        assert_eq!(fs::read_to_string(folder.path().join(FILE)).unwrap(), text);
    }
}
