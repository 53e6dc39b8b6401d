//! Private PostgreSQL servers for tests, benchmarks and the load tool: started on ports and in folders of their own,
//! killed and started again when asked, and gone without a trace afterwards, also when whoever started them was killed.
//!
//! ```no_run
//! use clusters::{Binaries, Cluster, Options};
//!
//! let three = Cluster::start_many(3, &Binaries::find()?, &Options::default())?;
//! let database = three[0].server().create_database(None)?;
//! println!("{}", database.dsn());
//! # Ok::<(), clusters::Error>(())
//! ```
//!
//! Everything here blocks, a start for about a second. It knows nothing of the product: schema and data are the
//! caller's.

mod account;
mod binaries;
mod cluster;
mod folder;
mod install;
mod keeper;
mod random;
mod server;

use std::{io, path::PathBuf};

pub use binaries::{Binaries, OLDEST};
pub use cluster::{Cluster, Options};
pub use server::{Database, Server};

/// Why there is no server, or why it did not do as it was told.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No PostgreSQL on this machine that could be used.
    #[error(
        "{0}\nPostgreSQL {OLDEST} or newer is needed, server and client; it need not be running. On Debian: apt-get install \
         postgresql. Elsewhere: name the folder of its programs in PG_BIN."
    )]
    NoPostgres(String),
    /// A program ended badly, or could not be started.
    #[error("{program} failed: {why}")]
    Program {
        /// Its name.
        program: String,
        /// What it said.
        why: String,
    },
    /// A server did not begin to serve.
    #[error("PostgreSQL did not start ({state}):\n{log}")]
    NotStarted {
        /// What became of it.
        state: String,
        /// Its last lines.
        log: String,
    },
    /// Not `postgres://user:password@host:port/database`. What was given may hold a password and is not repeated.
    #[error("not a DSN such as postgres://user:password@127.0.0.1:5432/postgres")]
    NoDsn,
    /// A file or folder that cannot be used.
    #[error("{}: {source}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Error {
    fn program(program: &str, why: impl ToString) -> Self {
        Self::Program { program: program.to_owned(), why: why.to_string() }
    }

    fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }
}
