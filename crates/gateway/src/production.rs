//! What the `production` profile refuses to start with.

use crate::settings::Settings;

/// The service token of the `local` profile.
pub(crate) const LOCAL_TOKEN: &str = "local-dev-token";

/// Shortest service token that production takes, characters.
const MIN_TOKEN: usize = 24;

/// Everything that is only good for a developer's machine, named at once.
#[derive(Debug, thiserror::Error)]
#[error("production does not start with: {}", .0.join("; "))]
pub(crate) struct Refused(Vec<String>);

/// Looks for local secrets, an open internal listener, and the sandbox.
///
/// # Errors
/// [`Refused`] names each.
pub(crate) fn check(settings: &Settings) -> Result<(), Refused> {
    let mut found = vec![];
    for (key, secret) in [("token_key", &settings.auth.token_key), ("phone_key", &settings.auth.phone_key)] {
        if secret.reveal().is_empty() {
            found.push(format!("auth.{key} not set (local secrets are for the local profile only)"));
        }
    }
    let token = settings.http.internal_token.reveal();
    if token.is_empty() {
        found.push("an open internal listener: http.internal_token is not set".to_owned());
    } else if token == LOCAL_TOKEN {
        found.push("the local http.internal_token".to_owned());
    } else if token.len() < MIN_TOKEN {
        found.push(format!("an http.internal_token shorter than {MIN_TOKEN} characters"));
    }
    if settings.sandbox.enabled {
        found.push("the sandbox: sandbox.enabled is true".to_owned());
    }
    if found.is_empty() { Ok(()) } else { Err(Refused(found)) }
}
