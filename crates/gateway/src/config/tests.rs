use std::{fs, path::Path};

use runtime::Secret;
use serde::Deserialize;

use super::*;
use crate::test_folder::TestFolder;

/// A folder with these files.
struct Folder(TestFolder);

impl Folder {
    fn with(files: &[(&str, &str)]) -> Self {
        let folder = TestFolder::new();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        Self(folder)
    }

    fn sections(&self, environment: &[(&str, &str)]) -> Sections {
        sections(Some(self.0.path()), Profile::Local, environment)
    }
}

fn sections(dir: Option<&Path>, profile: Profile, environment: &[(&str, &str)]) -> Sections {
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Sections::load(&Sources::new(dir.map(Path::to_owned), profile, environment))
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Http {
    bind: String,
    workers: u32,
    deep: Deep,
    token: Option<Secret>,
    #[serde(deserialize_with = "runtime::config::list")]
    proxies: Vec<std::net::IpAddr>,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Deep {
    limit: u8,
}

impl Default for Http {
    fn default() -> Self {
        Self { bind: "127.0.0.1:8080".into(), workers: 2, deep: Deep { limit: 7 }, token: None, proxies: vec![] }
    }
}

impl Http {
    fn validate(&self) -> Result<(), Invalid> {
        if self.workers == 0 {
            return Err(Invalid::new("workers", "1 or more"));
        }
        if self.bind.is_empty() {
            return Err(Invalid::new("bind", "an address and a port"));
        }
        Ok(())
    }
}

fn problems(mut sections: Sections) -> Vec<String> {
    sections.take("http", Http::validate);
    let problems = sections.finish().expect_err("there are problems");
    problems.to_string().lines().skip(1).map(|line| line.trim().to_owned()).collect()
}

#[test]
fn without_any_setting_the_defaults_in_code_hold() {
    let mut sections = sections(None, Profile::Local, &[]);
    assert_eq!(sections.take("http", Http::validate), Http::default());
    assert!(sections.finish().is_ok());
}

#[test]
fn the_environment_wins_over_the_profile_and_the_profile_over_the_default_file() {
    let folder = Folder::with(&[
        ("default.toml", "[http]\nbind = 'a'\nworkers = 3\ndeep.limit = 1"),
        ("local.toml", "[http]\nbind = 'b'\nworkers = 4"),
        ("production.toml", "[http]\nbind = 'no'"),
    ]);
    let mut sections = folder.sections(&[("GATEWAY__HTTP__BIND", "c"), ("GATEWAY__HTTP__PROXIES", "10.0.0.1, ::1")]);
    let http = sections.take("http", Http::validate);
    assert_eq!((http.bind.as_str(), http.workers, http.deep.limit), ("c", 4, 1));
    assert_eq!(http.proxies, ["10.0.0.1".parse::<std::net::IpAddr>().unwrap(), "::1".parse().unwrap()]);
    assert!(sections.finish().is_ok());
}

#[test]
fn a_section_that_nobody_owns_is_rejected_with_its_source() {
    let folder = Folder::with(&[("default.toml", "[htpp]\nbind = 'a'")]);
    let told =
        problems(folder.sections(&[("GATEWAY__SQL__URL", "x"), ("GATEWAY__HTTP", "y"), ("OTHER__SQL__URL", "z")]));
    assert_eq!(told.len(), 3, "{told:#?}");
    assert_eq!(told[0], "`http` (environment variable GATEWAY__HTTP): this is a section: set its keys");
    assert!(
        told[1].starts_with("`htpp` (file ") && told[1].ends_with("default.toml): no such section; there are http")
    );
    assert_eq!(told[2], "`sql` (environment variable GATEWAY__SQL__URL): no such section; there are http");
}

#[test]
fn a_variable_that_is_a_value_and_a_table_is_rejected_in_any_case() {
    let told = problems(sections(None, Profile::Local, &[("GATEWAY__HTTP", "x"), ("GATEWAY__HTTP__WORKERS", "5")]));
    assert_eq!(told, ["`http` (environment variable GATEWAY__HTTP): GATEWAY__HTTP__WORKERS sets a key of it"]);
    let told = problems(sections(
        None,
        Profile::Local,
        &[("gateway__http__deep", "x"), ("GATEWAY__HTTP__DEEP__LIMIT", "5"), ("GATEWAY__HTTP__DEEPER", "5")],
    ));
    assert_eq!(told.len(), 2, "{told:#?}");
    assert_eq!(
        told[0],
        "`http.deep` (environment variable gateway__http__deep): GATEWAY__HTTP__DEEP__LIMIT sets a key of it"
    );
    assert!(told[1].starts_with("`http.deeper`"), "{told:#?}");
}

#[test]
fn two_spellings_of_one_variable_are_rejected_whatever_they_say() {
    let told =
        problems(sections(None, Profile::Local, &[("GATEWAY__HTTP__WORKERS", "5"), ("GATEWAY__http__workers", "5")]));
    assert_eq!(told.len(), 2, "{told:#?}");
    let other = "GATEWAY__http__workers sets it as well: one spelling is enough";
    assert_eq!(told[0], format!("`http.workers` (environment variable GATEWAY__HTTP__WORKERS): {other}"));
}

#[test]
fn every_bad_value_names_its_key_its_source_and_what_is_allowed() {
    let folder = Folder::with(&[("local.toml", "[http]\nbind = ''\nworker = 3\ndeep.limit = 'many'")]);
    let mut told = problems(folder.sections(&[("GATEWAY__HTTP__WORKERS", "0"), ("gateway__http__proxies", "here")]));
    told.sort();
    assert_eq!(told.len(), 5, "{told:#?}");
    assert!(
        told[0].starts_with("`http.bind` (file ") && told[0].ends_with("local.toml): allowed is an address and a port")
    );
    assert!(told[1].starts_with("`http.deep.limit` (file "), "{}", told[1]);
    assert!(told[1].ends_with("it is string \"many\", allowed is an integer"), "{}", told[1]);
    assert_eq!(told[2], "`http.proxies` (environment variable gateway__http__proxies): invalid IP address syntax");
    assert!(told[3].starts_with("`http.worker` (file ") && told[3].contains("expected one of `bind`"), "{}", told[3]);
    assert_eq!(told[4], "`http.workers` (environment variable GATEWAY__HTTP__WORKERS): allowed is 1 or more");
}

#[test]
fn a_file_that_does_not_parse_and_a_folder_or_profile_that_is_not_there_are_problems() {
    let folder = Folder::with(&[("default.toml", "[http\n"), ("local.toml", "http = ")]);
    assert_eq!(problems(folder.sections(&[])).iter().filter(|line| line.contains(".toml` (file)")).count(), 2);
    let nowhere = folder.0.path().join("nowhere");
    let told = problems(sections(Some(&nowhere), Profile::Other("staging".into()), &[]));
    assert!(told[0].starts_with("`--config-dir` (") && told[0].ends_with("nowhere): there is no such folder"));
    assert!(told[1].starts_with("`--profile` (") && told[1].contains("staging.toml"));
}

#[test]
fn a_profile_is_a_name_and_not_a_path() {
    assert_eq!("production".parse(), Ok(Profile::Production));
    assert_eq!("staging-2".parse(), Ok(Profile::Other("staging-2".into())));
    for name in ["", "../local", "a.b", "default"] {
        assert!(name.parse::<Profile>().is_err(), "{name}");
    }
}

#[test]
fn the_report_tells_what_is_in_effect_and_hides_secrets() {
    let mut sections =
        sections(None, Profile::Local, &[("GATEWAY__HTTP__TOKEN", "hunter2"), ("GATEWAY__HTTP__WORKERS", "5")]);
    let http: Http = sections.take("http", Http::validate);
    assert_eq!(http.token, Some(Secret::new("hunter2")));
    let report = sections.finish().unwrap().to_string();
    let mut lines: Vec<_> = report.lines().collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "[http]",
            "bind = \"127.0.0.1:8080\"  # built-in default",
            "deep.limit = 7  # built-in default",
            "proxies = []  # built-in default",
            "token = \"…\"  # environment variable GATEWAY__HTTP__TOKEN",
            "workers = 5  # environment variable GATEWAY__HTTP__WORKERS",
        ]
    );
}

#[test]
fn a_file_that_does_not_parse_is_named_without_the_line_that_may_hold_a_secret() {
    let folder = Folder::with(&[("default.toml", "[http]\ntoken = hunter2 # quotes forgotten\n")]);
    let told = folder.sections(&[]).finish().expect_err("refused").to_string();
    assert!(told.contains("default.toml") && told.contains("line 2"), "{told}");
    assert!(!told.contains("hunter2"), "{told}");
}
