//! Imports run one way: gateway → adapters → usecase → entity → migrations.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    process::Command,
};

use super::{assert_none, root};

/// The whole table of edges between our crates. A crate that is not here has no place in the layers yet.
const ALLOWED: &[(&str, &[&str])] = &[
    (
        "passenger-gateway",
        &[
            "adapter-http",
            "adapter-partner",
            "adapter-sandbox",
            "usecase",
            "entity",
            "traffic",
            "runtime",
            "migrations",
        ],
    ),
    ("adapter-http", &["usecase", "entity", "traffic", "runtime"]),
    ("adapter-partner", &["usecase", "entity", "runtime"]),
    ("adapter-sandbox", &["usecase", "entity", "runtime"]),
    ("usecase", &["entity", "runtime"]),
    ("entity", &["migrations", "runtime"]),
    ("traffic", &["runtime"]),
    ("runtime", &[]),
    ("migrations", &[]),
    // The load tool sees the product from outside, like any client.
    ("loadtest", &["clusters"]),
    // So do the benchmarks, but for the limiter's decision, which they take by itself. Their peers use the web framework,
    // the database's driver and other limiters: a peer lives in that crate and nowhere else.
    ("bench", &["clusters", "traffic"]),
    // Servers for tests and benchmarks, which know nothing of the product.
    ("clusters", &[]),
    ("xtask", &["clusters"]),
];

/// Families of crates, by the start of their names.
const WEB: &[&str] = &["actix", "axum", "hyper", "http", "reqwest", "rocket", "tonic", "tower-http", "warp"];
const DATABASE: &[&str] = &["sea-orm", "sea-query", "sqlx", "rusqlite", "diesel", "tokio-postgres"];

/// Who depends directly on whom: crate → crates, ours and others. What tests alone use does not count.
type Graph = BTreeMap<String, BTreeSet<String>>;

#[test]
fn our_crates_import_in_one_direction_only() {
    assert_none("an edge that the layers do not have", &wrong_edges(&our_crates()));
}

#[test]
fn use_cases_name_neither_the_web_nor_the_database_nor_an_http_client() {
    assert_none("usecase is business logic only", &direct(&our_crates(), "usecase", &[WEB, DATABASE]));
}

#[test]
fn entities_reach_no_web_framework() {
    assert_none("entity knows nothing of HTTP", &reached(&whole_graph(), "entity", &[WEB]));
}

#[test]
fn admission_control_reaches_neither_http_nor_the_database() {
    assert_none("traffic is a library for any protocol", &reached(&whole_graph(), "traffic", &[WEB, DATABASE]));
}

#[test]
fn only_the_http_adapter_the_gateway_and_the_benchmarks_peer_name_the_web_framework() {
    let crates = our_crates();
    let others = crates.keys().filter(|name| !matches!(name.as_str(), "adapter-http" | "passenger-gateway" | "bench"));
    let findings: Vec<String> = others.flat_map(|name| direct(&crates, name, &[&["actix", "axum"]])).collect();
    assert_none("HTTP is served in one place", &findings);
}

#[test]
fn only_entity_migrations_and_the_benchmarks_peer_name_the_database() {
    let crates = our_crates();
    let others = crates.keys().filter(|name| !matches!(name.as_str(), "entity" | "migrations" | "bench"));
    let findings: Vec<String> = others.flat_map(|name| direct(&crates, name, &[DATABASE])).collect();
    assert_none("queries live with their entity", &findings);
}

#[test]
fn peers_for_benchmarks_are_no_part_of_the_product() {
    let users = our_crates().into_iter().filter(|(_, used)| used.contains("bench")).map(|(name, _)| name);
    assert_none("a crate uses the benchmarks", &users.collect::<Vec<_>>());
    let workspace = std::fs::read_to_string(root().join("Cargo.toml")).expect("Cargo.toml");
    let workspace: toml::Table = workspace.parse().expect("Cargo.toml is TOML");
    let members = |key: &str| workspace["workspace"][key].as_array().expect("a list").clone();
    let bench = toml::Value::from("crates/bench");
    assert!(members("members").contains(&bench) && !members("default-members").contains(&bench));
}

#[test]
fn nothing_pulls_the_gpl_rate_limiter() {
    let found = whole_graph().contains_key("actix-governor");
    assert!(!found, "actix-governor is GPL-3.0; limits are the traffic crate's work");
}

#[test]
fn there_is_no_config_package() {
    assert_none("each component owns its settings", &config_packages(our_crates().keys()));
}

#[test]
fn a_forbidden_edge_is_found() {
    let findings = wrong_edges(&graph(&[("usecase", "adapter-http"), ("usecase", "entity"), ("entity", "serde")]));
    assert_eq!(findings, ["usecase → adapter-http"]);
    let siblings = wrong_edges(&graph(&[("adapter-sandbox", "adapter-http")]));
    assert_eq!(siblings, ["adapter-sandbox → adapter-http"]);
    let upwards = wrong_edges(&graph(&[("runtime", "entity"), ("migrations", "runtime")]));
    assert_eq!(upwards, ["migrations → runtime", "runtime → entity"]);
}

#[test]
fn a_crate_without_a_place_in_the_layers_is_found() {
    let mut crates = Graph::from([("repository".to_owned(), BTreeSet::new())]);
    crates.extend(graph(&[("usecase", "entity")]));
    assert_eq!(wrong_edges(&crates), ["repository: not in the table of layers"]);
}

#[test]
fn a_forbidden_direct_dependency_is_found() {
    let crates =
        graph(&[("usecase", "sea-orm"), ("usecase", "actix-web"), ("usecase", "reqwest"), ("usecase", "hmac")]);
    let findings = direct(&crates, "usecase", &[WEB, DATABASE]);
    assert_eq!(findings, ["usecase → actix-web", "usecase → reqwest", "usecase → sea-orm"]);
}

#[test]
fn a_forbidden_dependency_of_a_dependency_is_found() {
    let crates = graph(&[("entity", "innocent"), ("innocent", "helper"), ("helper", "hyper")]);
    assert_eq!(reached(&crates, "entity", &[WEB]), ["entity → innocent → helper → hyper"]);
    assert!(reached(&graph(&[("usecase", "hyper")]), "entity", &[WEB]).is_empty());
}

#[test]
fn a_config_package_is_found() {
    let names = ["config", "gateway-config", "settings", "entity"].map(String::from);
    assert_eq!(config_packages(names.iter()), ["config", "gateway-config", "settings"]);
}

/// Edges between our crates that [`ALLOWED`] does not have.
fn wrong_edges(ours: &Graph) -> Vec<String> {
    let rules: BTreeMap<&str, &[&str]> = ALLOWED.iter().copied().collect();
    let mut findings = Vec::new();
    for (from, targets) in ours {
        let Some(allowed) = rules.get(from.as_str()) else {
            findings.push(format!("{from}: not in the table of layers"));
            continue;
        };
        let ours = targets.iter().filter(|to| rules.contains_key(to.as_str()));
        findings.extend(ours.filter(|to| !allowed.contains(&to.as_str())).map(|to| format!("{from} → {to}")));
    }
    findings
}

/// Crates of these families that `from` names itself.
fn direct(graph: &Graph, from: &str, families: &[&[&str]]) -> Vec<String> {
    let targets = graph.get(from).into_iter().flatten();
    targets.filter(|to| belongs(to, families)).map(|to| format!("{from} → {to}")).collect()
}

/// Shortest way from `from` to each crate of these families, however long.
fn reached(graph: &Graph, from: &str, families: &[&[&str]]) -> Vec<String> {
    let mut ways = VecDeque::from([vec![from]]);
    let mut seen = BTreeSet::from([from]);
    let mut findings = Vec::new();
    while let Some(way) = ways.pop_front() {
        for to in way.last().and_then(|end| graph.get(*end)).into_iter().flatten() {
            if !seen.insert(to) {
                continue;
            }
            let longer: Vec<&str> = way.iter().copied().chain([to.as_str()]).collect();
            if belongs(to, families) { findings.push(longer.join(" → ")) } else { ways.push_back(longer) }
        }
    }
    findings
}

fn belongs(name: &str, families: &[&[&str]]) -> bool {
    families.iter().copied().flatten().any(|start| name.starts_with(start))
}

fn config_packages<'a>(names: impl Iterator<Item = &'a String>) -> Vec<String> {
    let is_config = |name: &&String| name.split(['-', '_']).any(|word| matches!(word, "config" | "conf" | "settings"));
    names.filter(is_config).cloned().collect()
}

/// The direct dependencies of each crate of the workspace, as cargo reports them.
fn our_crates() -> Graph {
    let cargo = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(cargo.status.success(), "{}", String::from_utf8_lossy(&cargo.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&cargo.stdout).expect("cargo metadata is JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let name = |value: &serde_json::Value| value["name"].as_str().expect("a name").to_owned();
    let used = |package: &serde_json::Value| {
        let dependencies = package["dependencies"].as_array().expect("dependencies").iter();
        dependencies.filter(|d| d["kind"] != "dev").map(name).collect()
    };
    packages.iter().map(|package| (name(package), used(package))).collect()
}

/// Our crates and everything below them. What is below comes from `Cargo.lock`, which needs no network and covers
/// every platform.
fn whole_graph() -> Graph {
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).expect("Cargo.lock");
    let lock: toml::Table = lock.parse().expect("Cargo.lock is TOML");
    let mut graph = Graph::new();
    for package in lock["package"].as_array().expect("packages") {
        let used = package.get("dependencies").and_then(toml::Value::as_array).into_iter().flatten();
        // "name" or "name version": several versions of a crate count as one.
        let names = used.filter_map(toml::Value::as_str).filter_map(|d| d.split(' ').next()).map(str::to_owned);
        graph.entry(package["name"].as_str().expect("a name").to_owned()).or_default().extend(names);
    }
    // The lock file mixes in what our tests use; cargo's own report does not.
    graph.extend(our_crates());
    graph
}

fn graph(edges: &[(&str, &str)]) -> Graph {
    let mut graph = Graph::new();
    for (from, to) in edges {
        graph.entry((*from).to_owned()).or_default().insert((*to).to_owned());
    }
    graph
}
