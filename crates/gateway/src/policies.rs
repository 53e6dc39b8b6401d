//! The policies file: where it is, and the task that looks at it.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use runtime::{Clock, Stopwatch, task::Supervisor};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::MissedTickBehavior,
};
use traffic::{Keeper, Nanos, PolicyFile};

use crate::compose::RESTART;

/// Beside the settings' own files.
const FILE: &str = "traffic.toml";

/// The file that is named, or the one in the configuration folder, which need not be there.
pub(crate) fn file(config: &traffic::Config, folder: Option<&Path>) -> Option<PolicyFile> {
    if !config.policies.is_empty() {
        return Some(PolicyFile { path: PathBuf::from(&config.policies), is_optional: false });
    }
    folder.map(|folder| PolicyFile { path: folder.join(FILE), is_optional: true })
}

/// Looks at the file once a period, and reads it again when `SIGHUP` asks for it.
pub(crate) struct Watch {
    pub(crate) keeper: Arc<Keeper>,
    /// Milliseconds; 0 is never.
    pub(crate) reload_ms: u32,
    pub(crate) clock: Clock,
    pub(crate) started: Stopwatch,
}

impl Watch {
    pub(crate) fn start(self, supervisor: &Supervisor) {
        let watch = Arc::new(self);
        supervisor.spawn("traffic-policies", RESTART, move |shutdown| {
            let watch = watch.clone();
            async move {
                let mut hangups = signal(SignalKind::hangup())?;
                let mut looks = tokio::time::interval(Duration::from_millis(watch.reload_ms.max(1).into()));
                looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
                loop {
                    tokio::select! {
                        biased;
                        () = shutdown.wait() => return Ok::<_, std::io::Error>(()),
                        _ = hangups.recv() => watch.clone().beside(Self::reload).await?,
                        _ = looks.tick(), if watch.reload_ms > 0 => watch.clone().beside(Self::look).await?,
                    }
                }
            }
        });
    }

    fn look(&self) {
        self.keeper.look(Nanos::since_start_of(&self.started), self.clock.now());
    }

    fn reload(&self) {
        // The log tells what came of it.
        let reloaded = self.keeper.reload(Nanos::since_start_of(&self.started), self.clock.now());
        if reloaded.is_none() {
            tracing::info!("SIGHUP: there is no policies file");
        }
    }

    /// A disk may be slow: no request waits for it.
    async fn beside(self: Arc<Self>, work: fn(&Self)) -> std::io::Result<()> {
        Ok(tokio::task::spawn_blocking(move || work(&self)).await?)
    }
}
