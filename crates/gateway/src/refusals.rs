//! What `serve` refuses to start with, though each setting is valid by itself.

use adapter_http::AllowedOrigin;
use entity::{
    store::Engine,
    value::{Id, IdError, Shard},
};
use runtime::Millis;
use usecase::driver_index::Strategy;

use crate::{config::Profile, secrets::LOCAL_TOKEN, settings::Settings};

/// Shortest service token that production takes, characters.
const MIN_TOKEN: usize = 24;

/// Everything that is only good for a developer's machine, named at once.
#[derive(Debug, thiserror::Error)]
#[error("the profile {profile} does not start with: {}", .found.join("; "))]
pub(crate) struct Refused {
    profile: Profile,
    found: Vec<String>,
}

/// Looks for secrets that only the local profile makes for itself and, in production, for local ones, an open internal
/// listener, and the sandbox.
///
/// # Errors
/// [`Refused`] names each.
pub(crate) fn check(settings: &Settings) -> Result<(), Refused> {
    let profile = settings.profile.clone();
    if profile == Profile::Local {
        return Ok(());
    }
    let mut found = vec![];
    for (key, secret) in [("token_key", &settings.auth.token_key), ("phone_key", &settings.auth.phone_key)] {
        if secret.reveal().is_empty() {
            found.push(format!("auth.{key} not set (local secrets are for the local profile only)"));
        }
    }
    let token = settings.http.internal_token.reveal();
    if token.is_empty() {
        found.push("an open internal listener: http.internal_token is not set".to_owned());
    }
    if profile == Profile::Production {
        if token == LOCAL_TOKEN {
            found.push("the local http.internal_token".to_owned());
        } else if !token.is_empty() && token.len() < MIN_TOKEN {
            found.push(format!("an http.internal_token shorter than {MIN_TOKEN} characters"));
        }
        if settings.http.allowed_origins.contains(&AllowedOrigin::Any) {
            // Any page could then make its visitors' browsers ask for sign-in codes, each from an address of its own.
            found.push("every page of the web: http.allowed_origins is *".to_owned());
        }
        if settings.sandbox.enabled {
            found.push("the sandbox: sandbox.enabled is true".to_owned());
        }
    }
    if found.is_empty() { Ok(()) } else { Err(Refused { profile, found }) }
}

/// Looks for a strategy of the driver index that a database is no good for.
///
/// # Errors
/// Which database it is.
pub(crate) fn check_strategy(settings: &Settings) -> Result<(), String> {
    if settings.driver_index.strategy != Strategy::TwoPhase {
        return Ok(());
    }
    match settings.store.engines().iter().position(|engine| *engine != Engine::Postgres) {
        None => Ok(()),
        Some(place) => Err(format!(
            "driver_index.strategy = \"two_phase\" needs PostgreSQL everywhere: database {} of store.shards is a SQLite file; \
             \"outbox\" and \"tcc\" work on both",
            place + 1
        )),
    }
}

/// Whether a row can be made at all: a clock that was never set fails every sign-in.
///
/// # Errors
/// The machine's clock is outside what ids cover.
pub(crate) fn check_clock(now: Millis) -> Result<(), IdError> {
    Id::<()>::new(now, 0, Shard::from_first_bits(&[0; 32])).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_never_set_is_refused_with_what_it_says() {
        let refused = check_clock(Millis(86_400_000)).unwrap_err().to_string();
        assert!(refused.contains("the clock says 86400000 ms") && refused.contains("2024"), "{refused}");
        assert_eq!(check_clock(Millis(1_790_000_000_000)), Ok(()));
    }
}
