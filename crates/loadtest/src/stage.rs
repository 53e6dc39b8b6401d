//! What a replay drives: a gateway of its own, and with PostgreSQL a second one and the database servers.

use std::path::Path;

use clusters::{Binaries, Cluster, Database};

use crate::{
    options::Options,
    server::{Launch, Server},
};

/// All of it; dropped, it is gone.
pub(crate) struct Stage {
    /// The gateway that passengers talk to.
    pub(crate) server: Server,
    /// The one that delivers what the first leaves.
    relay: Option<Server>,
    // After the gateways: whoever still has connections is gone first.
    _databases: Vec<Database>,
    servers: Vec<Cluster>,
    killed: usize,
}

impl Stage {
    /// Starts all of it.
    ///
    /// # Errors
    /// What could not be started, in words.
    pub(crate) async fn start(binary: &Path, options: &Options) -> Result<Self, String> {
        let mut launch = Launch { settings: options.settings(), ..Launch::default() };
        let (servers, databases) = match options.postgres {
            None => (Vec::new(), Vec::new()),
            Some(count) => tokio::task::spawn_blocking(move || start_postgres(count.into()))
                .await
                .map_err(|e| e.to_string())?
                .map_err(|e| e.to_string())?,
        };
        if !databases.is_empty() {
            let dsns: Vec<_> = databases.iter().map(Database::dsn).collect();
            launch.settings.push(("GATEWAY__STORE__SHARDS".into(), dsns.join(",")));
        }
        let server = Server::start(binary, launch.clone()).await?;
        let relay = if databases.is_empty() {
            None
        } else {
            // Drivers are in one place only.
            launch.settings.retain(|(name, _)| name != "GATEWAY__SANDBOX__DRIVERS");
            launch.settings.push(("GATEWAY__SANDBOX__DRIVERS".into(), "0".into()));
            Some(server.start_beside(launch).await?)
        };
        Ok(Self { server, relay, _databases: databases, servers, killed: 0 })
    }

    /// Whether the data is in one SQLite file.
    pub(crate) fn is_one_file(&self) -> bool {
        self.servers.is_empty()
    }

    /// SIGKILL for the second gateway, which is started again.
    ///
    /// # Errors
    /// There is none, or it did not come back.
    pub(crate) async fn kill_relay(&mut self) -> Result<(), String> {
        let relay = self.relay.as_mut().ok_or("there is no second gateway without --postgres")?;
        relay.kill_and_start_again().await?;
        relay.until_ready().await
    }

    /// SIGKILL for every process of the next database server, which is started again.
    ///
    /// # Errors
    /// There is none, or it did not come back.
    pub(crate) async fn kill_postgres(&mut self) -> Result<(), String> {
        let next = self.killed % self.servers.len().max(1);
        let one = self.servers.get_mut(next).ok_or("there is no database server without --postgres")?;
        tokio::task::block_in_place(|| {
            one.kill()?;
            one.start_again()
        })
        .map_err(|e| e.to_string())?;
        self.killed += 1;
        self.server.is_to_recover();
        Ok(())
    }

    /// SIGTERM for the gateways.
    ///
    /// # Errors
    /// What was wrong with an end, in words. They are gone in any case.
    pub(crate) async fn stop(&mut self) -> Result<(), String> {
        let relay = match &mut self.relay {
            Some(relay) => relay.stop().await,
            None => Ok(()),
        };
        self.server.stop().await.and(relay)
    }
}

/// Servers on which what is committed is on the disk, each with a database.
fn start_postgres(count: usize) -> Result<(Vec<Cluster>, Vec<Database>), clusters::Error> {
    let options = clusters::Options { durable: true, ..clusters::Options::default() };
    let servers = Cluster::start_many(count, &Binaries::find()?, &options)?;
    let databases = servers.iter().map(|server| server.server().create_database(None)).collect::<Result<_, _>>()?;
    Ok((servers, databases))
}
