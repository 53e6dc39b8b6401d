//! Every component's settings. A new section is one field and one line.

use crate::config::{Problems, Profile, Report, Sections, Sources};

/// What the composition root builds the process from.
#[derive(Debug, PartialEq)]
pub(crate) struct Settings {
    /// Which profile was asked for: production refuses what is only good for a developer's machine.
    pub(crate) profile: Profile,
    pub(crate) http: adapter_http::Config,
    pub(crate) store: entity::StoreConfig,
    pub(crate) traffic: traffic::Config,
    pub(crate) sandbox: adapter_sandbox::Config,
    pub(crate) routing: adapter_partner::routing::Config,
    pub(crate) auth: usecase::auth::Config,
    pub(crate) quotes: usecase::quotes::Config,
    pub(crate) rides: usecase::rides::Config,
    pub(crate) pricing: usecase::pricing::Config,
    pub(crate) driver_index: usecase::driver_index::Config,
    pub(crate) relay: usecase::relay::Config,
    pub(crate) consistency: usecase::consistency::Config,
    pub(crate) runtime: runtime::Config,
}

impl Settings {
    /// Reads and checks everything, and tells where each value came from.
    ///
    /// # Errors
    /// All that is wrong, at once.
    pub(crate) fn load(profile: Profile, sources: &Sources) -> Result<(Self, Report), Problems> {
        let mut sections = Sections::load(sources);
        let settings = Self {
            profile,
            http: sections.take("http", adapter_http::Config::validate),
            store: sections.take("store", entity::StoreConfig::validate),
            traffic: sections.take("traffic", traffic::Config::validate),
            sandbox: sections.take("sandbox", adapter_sandbox::Config::validate),
            routing: sections.take("routing", adapter_partner::routing::Config::validate),
            auth: sections.take("auth", usecase::auth::Config::validate),
            quotes: sections.take("quotes", usecase::quotes::Config::validate),
            rides: sections.take("rides", usecase::rides::Config::validate),
            pricing: sections.take("pricing", usecase::pricing::Config::validate),
            driver_index: sections.take("driver_index", usecase::driver_index::Config::validate),
            relay: sections.take("relay", usecase::relay::Config::validate),
            consistency: sections.take("consistency", usecase::consistency::Config::validate),
            runtime: sections.take("runtime", runtime::Config::validate),
        };
        Ok((settings, sections.finish()?))
    }
}
