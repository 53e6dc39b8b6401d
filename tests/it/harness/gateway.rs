//! A running gateway, one for each test.

use std::{
    collections::HashSet,
    net::{IpAddr, TcpListener},
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use serde_json::Value;

use super::{
    Api, Driver, Passenger, SERVICE_TOKEN, eventually, fresh_phone,
    process::{Folder, Process, run_to_exit},
    store::Databases,
};

/// The policies of a test, in the gateway's folder.
const POLICIES: &str = "policies.toml";

/// Between the choice of a free port and its use somebody else may take it.
const START_ATTEMPTS: usize = 5;

/// The built binary at work on databases of its own, with no drivers unless asked for. Ends with the test.
pub(crate) struct Gateway {
    // Before the data: the process must be gone when its databases and its folder are removed.
    process: Process,
    databases: Databases,
    folder: Folder,
    settings: Vec<(String, String)>,
    ports: (u16, u16),
}

impl Gateway {
    /// A gateway whose drivers are played by the test.
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// The same with some settings changed, such as `("rides.match_timeout_s", "2")`.
    pub(crate) async fn start_with(changes: &[(&str, &str)]) -> Self {
        Self::start_after("", changes).await
    }

    /// The same with these policies in a file of its own, which is looked at ten times a second.
    pub(crate) async fn start_under(policies: &str, changes: &[(&str, &str)]) -> Self {
        let folder = Folder::new();
        let file = folder.path().join(POLICIES);
        std::fs::write(&file, policies).expect("the policies can be written");
        let file = file.display().to_string();
        let own = [("traffic.policies", file.as_str()), ("traffic.reload_ms", "100")];
        Self::start_in(folder, "", &[&own, changes].concat()).await
    }

    /// The same, after a line of shell such as `ulimit -S -f 2048` in the same process. Only this time: a restart is
    /// without it.
    pub(crate) async fn start_after(shell: &str, changes: &[(&str, &str)]) -> Self {
        Self::start_in(Folder::new(), shell, changes).await
    }

    async fn start_in(folder: Folder, shell: &str, changes: &[(&str, &str)]) -> Self {
        let databases = Databases::new(&folder);
        let mut settings = vec![
            ("sandbox.drivers".to_owned(), "0".to_owned()),
            ("store.shards".to_owned(), databases.dsns().join(",")),
        ];
        change(&mut settings, changes);
        for _ in 0..START_ATTEMPTS {
            let ports = (free_port(), free_port());
            match start(shell, &folder, &settings, ports).await {
                Ok(process) => return Self { process, databases, folder, settings, ports },
                Err((_, output)) => assert!(output.contains("in use"), "it ended instead of serving:\n{output}"),
            }
        }
        panic!("no free ports after {START_ATTEMPTS} attempts");
    }

    /// Kills the process as a power cut would and starts it again on the same data and ports.
    pub(crate) async fn crash_and_restart(&mut self) {
        self.process.kill();
        self.restart().await;
    }

    /// Starts a process that has ended again on the same data and ports.
    pub(crate) async fn restart(&mut self) {
        self.try_restart().await.expect("it serves again");
    }

    /// The same with some settings changed from now on.
    pub(crate) async fn restart_with(&mut self, changes: &[(&str, &str)]) {
        change(&mut self.settings, changes);
        self.restart().await;
    }

    /// As [`Gateway::restart`], after a line of shell in the same process, only this time.
    pub(crate) async fn restart_after(&mut self, shell: &str) {
        self.process = start(shell, &self.folder, &self.settings, self.ports).await.expect("it serves again");
    }

    /// As [`Gateway::restart`]; exit code and everything it wrote, when it ends instead of serving.
    pub(crate) async fn try_restart(&mut self) -> Result<(), (i32, String)> {
        self.process = start("", &self.folder, &self.settings, self.ports).await?;
        Ok(())
    }

    /// Starts another process on the same data and ports, which cannot be: exit code and everything it wrote.
    pub(crate) async fn start_a_rival(&self) -> (i32, String) {
        let settings = all_settings(&self.settings, self.ports);
        let settings: Vec<_> = settings.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        run_to_exit(&["serve"], &settings).await
    }

    /// Asks the process to leave and waits until it has; the exit code.
    pub(crate) async fn stop(&mut self) -> Option<i32> {
        self.signal("TERM");
        self.exit().await
    }

    /// Sends a signal by its short name, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    /// Waits until the process has ended; the exit code, `None` when a signal ended it.
    pub(crate) async fn exit(&mut self) -> Option<i32> {
        self.process.exit().await.code()
    }

    /// The process's number for the operating system.
    pub(crate) fn process_id(&self) -> String {
        self.process.id()
    }

    /// How to reach its databases.
    pub(crate) fn dsns(&self) -> Vec<String> {
        self.databases.dsns()
    }

    /// What its databases ask of whoever wants to enter; nothing on SQLite.
    pub(crate) fn passwords(&self) -> Vec<String> {
        let password = |dsn: String| Some(dsn.rsplit_once('@')?.0.rsplit_once(':')?.1.to_owned());
        self.dsns().into_iter().filter_map(password).collect()
    }

    /// Every byte that is kept in its databases.
    pub(crate) fn stored(&self) -> Vec<u8> {
        self.databases.stored()
    }

    /// A file in the folder that it runs in, where its SQLite file lies too.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes other policies into the file that [`Gateway::start_under`] made.
    pub(crate) fn write_policies(&self, policies: &str) {
        std::fs::write(self.file(POLICIES), policies).expect("the policies can be written");
    }

    /// The value of a series of `/metrics`, written with its labels in the order of their names; 0 when it is not there.
    pub(crate) async fn metric(&self, series: &str) -> f64 {
        let answer = self.internal().get("/metrics").send().await;
        let sample = answer.body.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        sample.map_or(0.0, |value| value.parse().expect("a number"))
    }

    /// Everything the gateway has logged.
    pub(crate) fn log(&self) -> String {
        self.process.log()
    }

    /// The public listener's port.
    pub(crate) fn public_port(&self) -> u16 {
        self.ports.0
    }

    /// The public listener without a token.
    pub(crate) fn public(&self) -> Api {
        api(self.ports.0, None)
    }

    /// The same, called from this address of the machine.
    pub(crate) fn public_from(&self, address: &str) -> Api {
        let client = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0);
        let client = client.local_address(address.parse::<IpAddr>().expect("an address")).build().expect("a client");
        Api { client, ..self.public() }
    }

    /// The internal listener with the service token.
    pub(crate) fn internal(&self) -> Api {
        api(self.ports.1, Some(SERVICE_TOKEN))
    }

    /// The internal listener without a token.
    pub(crate) fn internal_without_token(&self) -> Api {
        api(self.ports.1, None)
    }

    /// Somebody new, signed in.
    pub(crate) async fn passenger(&self) -> Passenger {
        self.sign_in(&fresh_phone()).await
    }

    /// The owner of this phone, signed in on one more device.
    pub(crate) async fn sign_in(&self, phone: &str) -> Passenger {
        Passenger::sign_in(self.public(), phone).await
    }

    /// A driver whose app the test holds in its hand.
    pub(crate) fn driver(&self, id: &str) -> Driver {
        Driver::new(self.internal(), id)
    }

    /// Changes what a simulated partner does until the next start.
    pub(crate) async fn script(&self, partner: &str, failures: &Value) {
        self.public().put(&format!("/sandbox/partners/{partner}"), failures).send().await.expect(204);
    }
}

/// Starts a process and waits until it is ready; exit code and everything it wrote, when it ends instead.
async fn start(
    shell: &str,
    folder: &Folder,
    settings: &[(String, String)],
    ports: (u16, u16),
) -> Result<Process, (i32, String)> {
    let all = all_settings(settings, ports);
    let mut process = match shell {
        "" => Process::start(folder.path(), &["serve"], &all),
        line => Process::start_after(line, folder.path(), &["serve"], &all),
    };
    let health = api(ports.1, None);
    eventually("the gateway is ready or has ended", async || {
        let ready = health.get("/health/ready").try_send().await.is_ok_and(|answer| answer.status == 200);
        // Asked last: what answered may have been somebody else on a port that our process failed to get.
        (process.ended().is_some() || ready).then_some(())
    })
    .await;
    match process.ended() {
        None => Ok(process),
        Some(status) => Err(process.told(status)),
    }
}

fn change(settings: &mut Vec<(String, String)>, changes: &[(&str, &str)]) {
    for (key, value) in changes {
        settings.retain(|(known, _)| known != key);
        settings.push(((*key).to_owned(), (*value).to_owned()));
    }
}

fn all_settings(changes: &[(String, String)], ports: (u16, u16)) -> Vec<(String, String)> {
    let mut all = vec![
        ("http.public_bind".to_owned(), format!("127.0.0.1:{}", ports.0)),
        ("http.internal_bind".to_owned(), format!("127.0.0.1:{}", ports.1)),
    ];
    all.extend_from_slice(changes);
    all
}

fn api(port: u16, token: Option<&str>) -> Api {
    // A connection for each call: a pooled one could be dead after a restart.
    let client = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build().expect("a client");
    Api { base: format!("http://127.0.0.1:{port}"), client, token: token.map(str::to_owned) }
}

/// A port that nobody listens on and that no other test of this run was given.
pub(super) fn free_port() -> u16 {
    static GIVEN: Mutex<Option<HashSet<u16>>> = Mutex::new(None);
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        if GIVEN.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default().insert(port) {
            return port;
        }
    }
}
