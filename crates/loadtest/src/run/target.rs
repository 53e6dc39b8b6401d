//! The gateway that a run drives: one that this tool starts, or one that runs already.

use std::{
    net::{IpAddr, SocketAddr},
    path::Path,
    time::Duration,
};

use super::{
    RunOptions,
    http::{Request, json},
    kinds::Routes,
    limits::{self, Policy},
    observe::{Internal, Whom},
    outcome::ServerFacts,
    pin,
    scenario::Scenario,
};
use crate::server::{Launch, Server, Settings};

/// How long the server may take to say what its policies are.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// The local profile's token of the internal listener.
const LOCAL_TOKEN: &str = "local-dev-token";
/// The variable with another one.
const TOKEN_VARIABLE: &str = "LOADTEST_INTERNAL_TOKEN";
/// Policies of the control experiment: nothing is shed, and no quota is ever reached.
const CONTROL: (&str, &str) = (
    "control.toml",
    "[overload]\nmode = \"off\"\n\n[[policy]]\nname = \"wide-open\"\nkey = \"global\"\nquota = 1000000000\n",
);

/// Where the load goes.
pub(crate) struct Target {
    pub(crate) public: SocketAddr,
    pub(crate) whom: Whom,
    server: Option<Server>,
}

impl Default for Target {
    /// Nothing is there yet.
    fn default() -> Self {
        Self { public: SocketAddr::from(([127, 0, 0, 1], 0)), whom: Whom::default(), server: None }
    }
}

impl Target {
    /// Starts the gateway, or looks up the one that runs.
    ///
    /// # Errors
    /// It does not start or does not answer; in words.
    pub(crate) async fn reach(options: &RunOptions, scenario: &Scenario) -> Result<Self, String> {
        let target = match &options.server {
            Some(binary) => Self::start(binary, options, scenario).await?,
            None => {
                let internal = options.internal.as_deref().map(address).transpose()?;
                let internal = internal.map(|address| Internal { address, token: token() });
                Self { public: address(&options.url)?, whom: Whom { pid: options.pid, internal }, server: None }
            }
        };
        let states = get("/v1/ride-states", None);
        json(target.public, &states, ANSWER_WITHIN).await.map_err(|e| format!("no gateway answers: {e}"))?;
        Ok(target)
    }

    async fn start(binary: &Path, options: &RunOptions, scenario: &Scenario) -> Result<Self, String> {
        let mut launch = Launch { settings: settings(scenario), ..Launch::default() };
        launch.core = options.pin.then_some(pin::SERVER);
        if scenario.control {
            launch.settings.push(("GATEWAY__TRAFFIC__POLICIES".into(), CONTROL.0.to_owned()));
            launch.files.push((CONTROL.0, CONTROL.1.to_owned()));
        }
        let server = Server::start(binary, launch).await?;
        let internal = Internal { address: server.internal(), token: LOCAL_TOKEN.to_owned() };
        let whom = Whom { pid: server.pid(), internal: Some(internal) };
        Ok(Self { public: address(&server.url())?, whom, server: Some(server) })
    }

    /// Class and priority of every route, and where that is from: `server`, or `built-in` with a note why.
    ///
    /// # Errors
    /// The server lacks a route that the tool drives.
    pub(crate) async fn routes(&self, notes: &mut Vec<String>) -> Result<(Routes, &'static str), String> {
        let mut routes = Routes::built_in();
        match self.ask("/internal/v1/traffic/routes").await {
            Ok(answer) => {
                limits::learn_routes(&mut routes, &answer)?;
                Ok((routes, "server"))
            }
            Err(reason) => {
                notes.push(format!("classes and priorities are those of the contract: {reason}"));
                Ok((routes, "built-in"))
            }
        }
    }

    /// The enforced policies; none with a note why when they cannot be read.
    pub(crate) async fn policies(&self, notes: &mut Vec<String>) -> Vec<Policy> {
        let answer = self.ask("/internal/v1/traffic/policies").await;
        answer.and_then(|answer| limits::read(&answer)).unwrap_or_else(|reason| {
            notes.push(format!("over-admission was not looked at, the policies are not known: {reason}"));
            Vec::new()
        })
    }

    async fn ask(&self, path: &str) -> Result<serde_json::Value, String> {
        let internal = self.whom.internal.as_ref().ok_or("the internal listener is not known (--internal)")?;
        json(internal.address, &get(path, Some(&internal.token)), ANSWER_WITHIN).await
    }

    pub(crate) fn facts(&self, cores: u32, pinned: bool, routes_from: &str) -> ServerFacts {
        let (url, own) = (format!("http://{}", self.public), self.server.is_some());
        ServerFacts { url, own, pinned, cores, routes_from: routes_from.to_owned() }
    }

    /// Leaves the data and the log of a server of this tool's own, and says where.
    pub(crate) fn keep_folder(&mut self) {
        if let Some(server) = &mut self.server {
            server.keep_folder();
        }
    }

    /// Stops a server of this tool's own.
    pub(crate) async fn stop(&mut self) {
        if let Some(mut server) = self.server.take()
            && let Err(reason) = server.stop().await
        {
            super::live::say(&format!("the server's end: {reason}"));
        }
    }
}

fn get<'a>(path: &'a str, token: Option<&'a str>) -> Request<'a> {
    Request { method: "GET", path, token, idempotency_key: None, body: None }
}

fn token() -> String {
    std::env::var(TOKEN_VARIABLE).unwrap_or_else(|_| LOCAL_TOKEN.to_owned())
}

/// What a server of this tool's own is told: measuring conditions, then the scenario's settings.
fn settings(scenario: &Scenario) -> Settings {
    let own = [
        ("GATEWAY__HTTP__ACCESS_LOG", "false".to_owned()),
        // Nobody is signed out in the middle of a run.
        ("GATEWAY__AUTH__ACCESS_TTL_S", "7200".to_owned()),
        ("GATEWAY__SANDBOX__DRIVERS", scenario.drivers.to_string()),
    ];
    let own = own.into_iter().map(|(name, value)| (name.into(), value));
    let variable = |key: &str| format!("GATEWAY__{}", key.replace('.', "__").to_uppercase());
    own.chain(scenario.settings.iter().map(|(key, value)| (variable(key).into(), value.clone()))).collect()
}

/// The listener at a URL that was found to be of this machine. Sources are addresses of 127.0.0.0/8, so it is IPv4.
fn address(url: &str) -> Result<SocketAddr, String> {
    let url = reqwest::Url::parse(url).map_err(|e| format!("{url}: {e}"))?;
    let host = url.host_str().unwrap_or_default();
    let ip = if host == "localhost" { "127.0.0.1" } else { host };
    let ip = ip.parse::<IpAddr>().ok().filter(|ip| ip.is_ipv4() && ip.is_loopback());
    let ip = ip.ok_or_else(|| format!("{url}: only an IPv4 address of this machine is allowed here, 127.0.0.0/8"))?;
    Ok(SocketAddr::new(ip, url.port_or_known_default().unwrap_or(80)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_driven() {
        assert_eq!(address("http://127.0.0.2:81").unwrap(), "127.0.0.2:81".parse().unwrap());
        assert_eq!(address("http://localhost:81").unwrap(), "127.0.0.1:81".parse().unwrap());
        for url in ["http://[::1]:81", "http://10.0.0.1", "http://example.com"] {
            assert!(address(url).is_err(), "{url}");
        }
    }

    #[test]
    fn a_scenarios_settings_are_variables_of_the_server() {
        let settings = settings(&Scenario::load("key-spray").unwrap());
        assert!(settings.contains(&("GATEWAY__HTTP__TRUSTED_PROXIES".into(), "127.0.0.0/8".to_owned())));
    }
}
