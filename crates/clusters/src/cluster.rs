//! One private server: made, started, killed, started again, removed.

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    process::Output,
    thread,
};

use crate::{Binaries, Error, Server, account::Account, folder::Folder, keeper::Keeper, random, server};

/// Between the choice of a free port and its use somebody else may take it.
const START_ATTEMPTS: usize = 5;
/// Lines of the server's log in an error.
const TAIL: usize = 20;
/// The account that owns the server. Only the role of tests is made with it.
const SUPERUSER: &str = "postgres";

/// How a server is made.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Whether what is committed is on the disk, as in production. Without it a server is several times faster and
    /// survives the loss of its processes, but not of the machine.
    pub durable: bool,
    /// Further settings as in `postgresql.conf`, such as `("work_mem", "1MB")`.
    pub settings: Vec<(String, String)>,
}

/// A private PostgreSQL server on 127.0.0.1. Dropped, it is ended and its folder removed.
#[derive(Debug)]
pub struct Cluster {
    // Before the folder: the server is gone when its folder is removed.
    keeper: Keeper,
    folder: Folder,
    server: Server,
    process_id: Option<u32>,
}

impl Cluster {
    /// A new server that serves.
    ///
    /// # Errors
    /// It could not be made or did not start.
    pub fn start(binaries: &Binaries, options: &Options) -> Result<Self, Error> {
        let account = Account::choose()?;
        let place = Place::new(account, binaries)?;
        let password = place.initialise(account, binaries)?;
        place.serve(binaries, options, &password)
    }

    /// As many as asked, in little more time than one.
    ///
    /// # Errors
    /// One could not be made or did not start; then there is none.
    pub fn start_many(count: usize, binaries: &Binaries, options: &Options) -> Result<Vec<Self>, Error> {
        let account = Account::choose()?;
        let places = (0..count).map(|_| Place::new(account, binaries)).collect::<Result<Vec<_>, _>>()?;
        let Some((first, others)) = places.split_first() else { return Ok(Vec::new()) };
        let password = first.initialise(account, binaries)?;
        others.iter().try_for_each(|other| other.copy(account, first))?;
        thread::scope(|scope| {
            let serve = |place: Place| scope.spawn(|| place.serve(binaries, options, &password));
            let starting: Vec<_> = places.into_iter().map(serve).collect();
            // All are waited for, so that a failure leaves none behind.
            let panicked = |_| Err(Error::program("the start of a server", "it panicked"));
            let started: Vec<_> = starting.into_iter().map(|one| one.join().unwrap_or_else(panicked)).collect();
            started.into_iter().collect()
        })
    }

    /// Where clients find it.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Everything that the server has written.
    pub fn log(&self) -> String {
        self.folder.read_log()
    }

    /// The file that the server writes its log to; gone with the server.
    pub fn log_file(&self) -> PathBuf {
        self.folder.log()
    }

    /// The folder of its data, its log and its socket.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The number of its first process (the postmaster) for the operating system; `None` while there is none.
    pub fn process_id(&self) -> Option<u32> {
        self.process_id
    }

    /// SIGKILL for the postmaster and every process of it, as when the machine is lost; waits until they are gone.
    ///
    /// # Errors
    /// There was no server, or it is still there.
    pub fn kill(&mut self) -> Result<(), Error> {
        self.process_id = None;
        self.keeper.kill().map_err(|why| Error::program("killing PostgreSQL", why))
    }

    /// Asks the server to leave, without waiting for its clients, and waits until it has.
    ///
    /// # Errors
    /// There was no server, or it is still there.
    pub fn stop(&mut self) -> Result<(), Error> {
        self.process_id = None;
        self.keeper.stop().map_err(|why| Error::program("stopping PostgreSQL", why))
    }

    /// Starts one that was killed or stopped on the same data and port, and waits until it serves.
    ///
    /// # Errors
    /// It did not start.
    pub fn start_again(&mut self) -> Result<(), Error> {
        let started = self.keeper.start(self.server.port()).map_err(|state| not_started(state, &self.folder))?;
        self.process_id = Some(started);
        Ok(())
    }
}

/// Where a server is going to be: a folder that goes whatever happens to us.
struct Place {
    keeper: Keeper,
    folder: Folder,
}

impl Place {
    fn new(account: Account, binaries: &Binaries) -> Result<Self, Error> {
        let folder = Folder::new(account)?;
        let data = folder.data().display().to_string();
        let keeper = Keeper::new(account, folder.path(), &binaries.program("postgres"), &["-D", &data])?;
        Ok(Self { keeper, folder })
    }

    /// Makes the data of a server, which takes most of a second; the superuser's password.
    fn initialise(&self, account: Account, binaries: &Binaries) -> Result<String, Error> {
        let (password, secret) = (random::hex::<16>()?, self.folder.path().join("password"));
        fs::write(&secret, &password).map_err(Error::file(&secret))?;
        account.own(&secret)?;
        let mut initdb = account.command(&binaries.program("initdb"));
        initdb.arg("-D").arg(self.folder.data()).args(["-U", SUPERUSER]).arg("--pwfile").arg(&secret);
        initdb.args(["--auth=scram-sha-256", "--encoding=UTF8", "--no-locale", "--no-sync", "--no-instructions"]);
        succeeded("initdb", initdb.current_dir(self.folder.path()).output())?;
        fs::remove_file(&secret).map_err(Error::file(&secret))?;
        Ok(password)
    }

    /// Takes the data of another one, which was initialised and has not served yet.
    fn copy(&self, account: Account, from: &Self) -> Result<(), Error> {
        let mut copy = account.command(Path::new("/bin/cp"));
        copy.arg("-a").args([from.folder.data(), self.folder.data()]);
        succeeded("cp", copy.output()).map(drop)
    }

    /// A server on the data that is there, with the role of tests.
    fn serve(mut self, binaries: &Binaries, options: &Options, password: &str) -> Result<Cluster, Error> {
        configure(&self.folder, options)?;
        let (port, process_id) = self.serve_somewhere()?;
        let psql = binaries.program("psql");
        let server = Server::new(server::ROLE, random::hex::<16>()?, port, psql.clone());
        Server::new(SUPERUSER, password.to_owned(), port, psql).make_role(&server, binaries.version())?;
        Ok(Cluster { keeper: self.keeper, folder: self.folder, server, process_id: Some(process_id) })
    }

    /// Starts the server on a free port; the port, and the number of its first process.
    fn serve_somewhere(&mut self) -> Result<(u16, u32), Error> {
        let mut attempts = 0;
        loop {
            let port = random::free_port()?;
            attempts += 1;
            match self.keeper.start(port) {
                Ok(process_id) => return Ok((port, process_id)),
                Err(_) if attempts < START_ATTEMPTS && self.folder.read_log().contains("in use") => {}
                Err(state) => return Err(not_started(state, &self.folder)),
            }
        }
    }
}

/// Adds our settings to those that `initdb` wrote. The port is not among them: it is chosen at the first start.
fn configure(folder: &Folder, options: &Options) -> Result<(), Error> {
    let sessions = 50 * thread::available_parallelism().map_or(4, usize::from);
    let socket = folder.path().display().to_string();
    let durable = if options.durable { "on" } else { "off" };
    let connections = sessions.max(200).to_string();
    let ours = [
        ("listen_addresses", "127.0.0.1"),
        ("unix_socket_directories", &*socket),
        ("unix_socket_permissions", "0700"),
        ("max_connections", &*connections),
        // Strategies that commit on two servers in two phases need it.
        ("max_prepared_transactions", "64"),
        ("fsync", durable),
        ("full_page_writes", durable),
        // Nobody copies these servers.
        ("wal_level", "minimal"),
        ("max_wal_senders", "0"),
        ("shared_buffers", "32MB"),
        // Files in the folder: those of a server that was killed go with it.
        ("dynamic_shared_memory_type", "mmap"),
        ("log_line_prefix", "%m [%p] %d "),
    ];
    let given = options.settings.iter().map(|(key, value)| (&**key, &**value));
    let path = folder.data().join("postgresql.conf");
    let mut file = File::options().append(true).open(&path).map_err(Error::file(&path))?;
    for (key, value) in ours.into_iter().chain(given) {
        writeln!(file, "{key} = '{}'", value.replace('\'', "''")).map_err(Error::file(&path))?;
    }
    Ok(())
}

fn not_started(state: String, folder: &Folder) -> Error {
    let log = folder.read_log();
    let lines: Vec<_> = log.lines().collect();
    Error::NotStarted { state, log: lines[lines.len().saturating_sub(TAIL)..].join("\n") }
}

/// What a program wrote that ended well.
pub(crate) fn succeeded(program: &str, output: std::io::Result<Output>) -> Result<Vec<u8>, Error> {
    let output = output.map_err(|error| Error::program(program, error))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = [output.stderr, output.stdout].concat();
    Err(Error::program(program, String::from_utf8_lossy(&said).trim()))
}
