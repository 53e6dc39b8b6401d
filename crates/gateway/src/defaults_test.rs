//! The shipped files: `config/default.toml` shows exactly what the code does without it, `config/production.toml`
//! lacks secrets and nothing else.

use std::{fs, path::Path};

use crate::{
    config::{Profile, Report, Sources},
    refusals,
    settings::Settings,
    test_folder::TestFolder,
};

/// Loads a private copy of some of the shipped files: what else lies in a developer's `config/` does not matter.
fn load(files: &[&str], profile: Profile) -> (Settings, Report) {
    let copy = TestFolder::new();
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config");
    for file in files {
        fs::copy(shipped.join(file), copy.path().join(file)).unwrap();
    }
    let sources = Sources::of_process(Some(copy.path().to_owned()), profile.clone());
    Settings::load(profile, &sources).unwrap_or_else(|problems| panic!("{problems}"))
}

#[test]
fn the_file_of_defaults_says_what_the_code_does_without_it() {
    let (shown, _) = load(&["default.toml"], Profile::Local);
    let (built_in, _) = load(&[], Profile::Local);
    // Secrets are compared too: they hide themselves from the report only.
    assert_eq!(shown, built_in);
}

#[test]
fn the_file_of_defaults_shows_every_setting() {
    let (_, report) = load(&["default.toml"], Profile::Local);
    let report = report.to_string();
    let missing: Vec<&str> = report.lines().filter(|line| line.ends_with("# built-in default")).collect();
    assert!(missing.is_empty(), "config/default.toml does not show:\n{}", missing.join("\n"));
}

#[test]
fn the_production_file_lacks_the_secrets_and_nothing_else() {
    let (settings, _) = load(&["default.toml", "production.toml"], Profile::Production);
    let refused = refusals::check(&settings).unwrap_err().to_string();
    let named: Vec<&str> = refused.split("; ").collect();
    for secret in ["http.internal_token", "auth.token_key", "auth.phone_key"] {
        assert!(named.iter().any(|reason| reason.contains(secret)), "{secret}: {refused}");
    }
    assert_eq!(named.len(), 3, "{refused}");
}
