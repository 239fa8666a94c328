//! Holds the map of ARCHITECTURE.md: who may depend on whom, and who must not know what.
//!
//! Only what ships counts: a crate's tests may reach further than the crate.

#![allow(clippy::unwrap_used, reason = "these are tests, their helpers included")]

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::fs;
use std::path::Path;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package, PackageId};

/// Every crate of the workspace and the crates of the workspace that it may depend on. A new crate needs a row.
const ARROWS: &[(&str, &[&str])] = &[
    ("social-proto", &[]),
    ("social-core", &[]),
    ("social-observability", &[]),
    ("social-store", &["social-core"]),
    (
        "social-server",
        &[
            "social-core",
            "social-store",
            "social-proto",
            "social-observability",
            "social-demo",
        ],
    ),
    ("social-sdk", &["social-proto"]),
    ("social-demo", &[]),
    ("socialctl", &["social-sdk", "social-demo"]),
    ("social-bench", &["social-sdk", "xtask"]),
    ("xtask", &[]),
];

/// What a crate must not know, and why.
struct Secret {
    what: &'static str,
    crates: &'static [&'static str],
    known_to: &'static [&'static str],
    because: &'static str,
}

const SECRETS: &[Secret] = &[
    Secret {
        what: "protobuf and gRPC",
        crates: &[
            "prost",
            "prost-types",
            "tonic",
            "tonic-prost",
            "tonic-types",
            "tonic-web",
            "tonic-health",
        ],
        known_to: &["social-proto", "social-server", "social-sdk"],
        because: "wire types are converted in one place on each side: the server's grpc/convert.rs and the SDK",
    },
    Secret {
        what: "databases",
        crates: &["fjall", "fred", "object_store"],
        known_to: &["social-store"],
        because: "everything else works on any backend, through the traits of core",
    },
    Secret {
        what: "the CQL driver",
        crates: &["scylla"],
        known_to: &["social-store", "social-bench"],
        because: "everything else works on any backend; the bench holds the platform against the bare driver, and reads no table of it",
    },
    Secret {
        what: "HTTP servers",
        crates: &["hyper", "axum", "tower-http", "tonic-web"],
        known_to: &["social-server"],
        because: "only the server serves",
    },
];

/// What core must not reach even through another crate.
const BELOW_CORE: &[&str] = &[
    "tonic", "prost", "fjall", "scylla", "fred", "hyper", "axum", "http", "tower",
];

/// The nouns of the platform; each names a file, or a folder, of every place below. `posts` is a `post` too.
const NOUNS: &[&str] = &["auth", "user", "post", "comment", "like", "graph", "timeline", "admin"];

/// Where each noun has its file, and the nouns that have nothing to say there.
const PLACES: &[(&str, &[&str])] = &[
    ("proto/social/v1", &[]),
    ("server/src/grpc", &[]),
    ("core/src", &["admin"]),
    ("store/src/conformance", &["auth", "admin"]),
    ("sdk/rust/src", &[]),
    ("cli/src", &[]),
];

fn metadata() -> Metadata {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    MetadataCommand::new().manifest_path(manifest).exec().unwrap()
}

/// The names of what a crate depends on directly, its tests left out.
fn shipped_dependencies(package: &Package) -> BTreeSet<&str> {
    let shipped = package
        .dependencies
        .iter()
        .filter(|dependency| dependency.kind != DependencyKind::Development);
    shipped.map(|dependency| dependency.name.as_str()).collect()
}

#[test]
fn every_arrow_between_our_crates_is_on_the_map() {
    let metadata = metadata();
    let members = metadata.workspace_packages();
    let names: BTreeSet<&str> = members.iter().map(|package| package.name.as_str()).collect();
    let map: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();
    let mut wrong = Vec::new();
    for package in &members {
        let Some(allowed) = map.get(package.name.as_str()) else {
            wrong.push(format!("{} is not on the map: give it a row in ARROWS", package.name));
            continue;
        };
        for other in shipped_dependencies(package)
            .intersection(&names)
            .filter(|other| !allowed.contains(other))
        {
            wrong.push(format!(
                "{} -> {other} is forbidden: {} may know {allowed:?}",
                package.name, package.name
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "arrows that ARCHITECTURE.md does not have:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn a_client_cannot_reach_the_servers_inside_even_in_its_tests() {
    let metadata = metadata();
    let mut wrong = Vec::new();
    for package in metadata.workspace_packages() {
        if !["socialctl", "social-sdk", "social-bench"].contains(&package.name.as_str()) {
            continue;
        }
        for inner in ["social-core", "social-store", "social-server"] {
            if package.dependencies.iter().any(|dependency| dependency.name == inner) {
                wrong.push(format!(
                    "{} -> {inner}: clients speak the contract, nothing else",
                    package.name
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nobody_knows_what_is_not_theirs() {
    let metadata = metadata();
    let mut wrong = Vec::new();
    for package in metadata.workspace_packages() {
        let dependencies = shipped_dependencies(package);
        for secret in SECRETS
            .iter()
            .filter(|secret| !secret.known_to.contains(&package.name.as_str()))
        {
            for known in secret.crates.iter().filter(|name| dependencies.contains(*name)) {
                let Secret {
                    what,
                    known_to,
                    because,
                    ..
                } = secret;
                wrong.push(format!(
                    "{} -> {known}: only {known_to:?} know {what}, because {because}",
                    package.name
                ));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "arrows that ARCHITECTURE.md does not have:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn core_reaches_no_transport_and_no_database() {
    let metadata = metadata();
    let core = metadata
        .workspace_packages()
        .into_iter()
        .find(|package| package.name.as_str() == "social-core")
        .unwrap();
    let mut wrong = Vec::new();
    for path in paths_from(&metadata, &core.id) {
        if path
            .last()
            .is_some_and(|reached| BELOW_CORE.contains(&reached.as_str()))
        {
            wrong.push(path.join(" -> "));
        }
    }
    assert!(
        wrong.is_empty(),
        "core must work with any transport and any store, but:\n{}",
        wrong.join("\n")
    );
}

/// For every crate that ships with `start`, one shortest way of how it got in.
fn paths_from(metadata: &Metadata, start: &PackageId) -> Vec<Vec<String>> {
    let resolve = metadata.resolve.as_ref().unwrap();
    let nodes: HashMap<&PackageId, _> = resolve.nodes.iter().map(|node| (&node.id, node)).collect();
    let mut seen = HashSet::from([start]);
    let mut queue = VecDeque::from([(start, vec![metadata[start].name.to_string()])]);
    let mut paths = Vec::new();
    while let Some((id, path)) = queue.pop_front() {
        for dependency in &nodes[id].deps {
            let ships = dependency
                .dep_kinds
                .iter()
                .any(|kind| kind.kind == DependencyKind::Normal);
            if ships && seen.insert(&dependency.pkg) {
                let mut path = path.clone();
                path.push(metadata[&dependency.pkg].name.to_string());
                queue.push_back((&dependency.pkg, path));
            }
        }
        paths.push(path);
    }
    paths
}

#[test]
fn what_the_wire_is_made_of_is_there_once() {
    let metadata = metadata();
    let resolve = metadata.resolve.as_ref().unwrap();
    let mut versions: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for node in &resolve.nodes {
        let package = &metadata[&node.id];
        versions
            .entry(package.name.as_str())
            .or_default()
            .insert(package.version.to_string());
    }
    for name in ["tonic", "prost", "http", "hyper", "h2", "axum", "tower", "rustls"] {
        assert_eq!(
            versions.get(name).map_or(0, BTreeSet::len),
            1,
            "{name} must be in the tree exactly once"
        );
    }
}

/// Who looks for follows opens `graph` in each place. A place is looked at from its first noun on.
#[test]
fn the_same_nouns_name_files_everywhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut missing = Vec::new();
    for (place, silent) in PLACES {
        let mut names = BTreeSet::new();
        collect_names(&root.join(place), &mut names);
        let has = |noun: &str| names.contains(noun) || names.contains(&format!("{noun}s"));
        if !NOUNS.iter().any(|noun| has(noun)) {
            continue;
        }
        for noun in NOUNS.iter().filter(|noun| !silent.contains(noun)) {
            if !has(noun) {
                missing.push(format!("{place} has no file of `{noun}`"));
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

/// The names, without endings, of all files and folders below one.
fn collect_names(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        names.extend(path.file_stem().map(|name| name.to_string_lossy().into_owned()));
        collect_names(&path, names);
    }
}
