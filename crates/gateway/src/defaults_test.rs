//! The shipped files: `config/default.toml` shows exactly what the code does without it, `config/production.toml`
//! lacks secrets and nothing else.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use crate::{
    config::{Profile, Report, Sources},
    production,
    settings::Settings,
};

/// A private copy of some of the shipped files: what else lies in a developer's `config/` does not matter.
struct Shipped(PathBuf);

impl Shipped {
    fn copy(files: &[&str]) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("gateway-defaults-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let copy = Self(std::env::temp_dir().join(name));
        fs::create_dir_all(&copy.0).unwrap();
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config");
        for file in files {
            fs::copy(shipped.join(file), copy.0.join(file)).unwrap();
        }
        copy
    }

    fn load(&self, profile: Profile) -> (Settings, Report) {
        let sources = Sources::of_process(Some(self.0.clone()), profile.clone());
        Settings::load(profile, &sources).unwrap_or_else(|problems| panic!("{problems}"))
    }
}

impl Drop for Shipped {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn the_file_of_defaults_says_what_the_code_does_without_it() {
    let (shown, _) = Shipped::copy(&["default.toml"]).load(Profile::Local);
    let (built_in, _) = Shipped::copy(&[]).load(Profile::Local);
    // Taken apart, so that a new section does not compile until it is compared. Secrets are compared too: they hide
    // themselves from the report only.
    let Settings { profile: _, http, store, traffic, sandbox, routing, auth, quotes, rides, pricing, relay, runtime } =
        shown;
    assert_eq!(http, built_in.http);
    assert_eq!(store, built_in.store);
    assert_eq!(traffic, built_in.traffic);
    assert_eq!(sandbox, built_in.sandbox);
    assert_eq!(routing, built_in.routing);
    assert_eq!(auth, built_in.auth);
    assert_eq!(quotes, built_in.quotes);
    assert_eq!(rides, built_in.rides);
    assert_eq!(pricing, built_in.pricing);
    assert_eq!(relay, built_in.relay);
    assert_eq!(runtime, built_in.runtime);
}

#[test]
fn the_file_of_defaults_shows_every_setting() {
    let (_, report) = Shipped::copy(&["default.toml"]).load(Profile::Local);
    let report = report.to_string();
    let missing: Vec<&str> = report.lines().filter(|line| line.ends_with("# built-in default")).collect();
    assert!(missing.is_empty(), "config/default.toml does not show:\n{}", missing.join("\n"));
}

#[test]
fn the_production_file_lacks_the_secrets_and_nothing_else() {
    let (settings, _) = Shipped::copy(&["default.toml", "production.toml"]).load(Profile::Production);
    let refused = production::check(&settings).unwrap_err().to_string();
    let named: Vec<&str> = refused.split("; ").collect();
    for secret in ["http.internal_token", "auth.token_key", "auth.phone_key"] {
        assert!(named.iter().any(|reason| reason.contains(secret)), "{secret}: {refused}");
    }
    assert_eq!(named.len(), 3, "{refused}");
}
