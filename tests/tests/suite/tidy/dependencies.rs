//! What the packages depend on.

use std::collections::BTreeMap;

use super::{none, tree};

/// Crates that need a system's library, or bring a second crypto provider.
const UNWANTED: [&str; 5] = ["aws-lc-rs", "aws-lc-sys", "native-tls", "openssl", "openssl-sys"];

/// Bindings to what is not Rust, and why each is none of a system's packages.
const BINDINGS: [(&str, &str); 8] = [
    ("core-foundation-sys", "only for Apple's systems"),
    ("inotify-sys", "the kernel's own interface"),
    ("js-sys", "only for browsers"),
    ("kqueue-sys", "the kernel's own interface, on BSD"),
    ("linux-raw-sys", "the kernel's own interface"),
    ("libmimalloc-sys", "built from the source that it brings"),
    ("web-sys", "only for browsers"),
    ("windows-sys", "only for Windows"),
];

/// Versions of a crate beside the newest: name, start of the version, who asks for it, and why that
/// is borne. A version that nobody listed asks for is a fault.
const OLDER: [(&str, &str, &str, &str); 19] = [
    ("base64", "0.22", "tonic", "encodes what a status carries"),
    ("bitflags", "1", "redox_syscall", "only on Redox, through sled"),
    ("cpufeatures", "0.2", "sha2", "through openraft, which moves rarely"),
    ("getrandom", "0.2", "ring", "ring moves rarely"),
    ("hashbrown", "0.14", "dashmap", "through ractor; no actor here is registered"),
    ("hashbrown", "0.15", "petgraph", "only while the messages are generated"),
    ("itertools", "0.13", "criterion", "only in benches"),
    ("itertools", "0.14", "prost-derive", "only while the messages are generated"),
    ("parking_lot", "0.11", "sled", "the design's store; its last release is old"),
    ("parking_lot_core", "0.8", "parking_lot", "sled's"),
    ("prettyplease", "0.2", "prost-build", "only while the messages are generated"),
    ("rand", "0.8", "phf_generator", "only while openraft's time zones are generated"),
    ("rand_core", "0.6", "rand", "the same"),
    ("redox_syscall", "0.2", "parking_lot_core", "only on Redox, through sled"),
    ("rustls", "0.23", "tokio-rustls", "all TLS but that of the ext_proc port: see DECISIONS.md"),
    ("rustls-webpki", "0.103", "rustls", "the same"),
    ("syn", "2", "tracing-attributes", "only while macros are expanded; half of them moved on"),
    ("unicode-width", "0.1", "miette", "only in messages of the protobuf compiler"),
    ("windows-sys", "0.52", "ring", "only on Windows"),
];

/// Which packages of the workspace a package may depend on, outside of its tests.
const WALLS: [(&str, &[&str]); 5] = [
    ("prefix-index", &[]),
    ("proto", &[]),
    ("raft", &["prefix-index", "proto"]),
    ("node", &["prefix-index", "proto", "raft"]),
    ("tests", &["prefix-index", "proto"]),
];

/// Of a package that promises to be pure, what it does without.
const IMPURE: [&str; 7] = ["tokio", "tonic", "hyper", "ractor", "tracing", "socket2", "rustls"];

/// One crate of Cargo.lock.
#[derive(Debug)]
struct Locked {
    name: String,
    version: String,
    /// `name`, or `name version` where there are several.
    dependencies: Vec<String>,
}

fn locked() -> Vec<Locked> {
    let lock = tree::file("Cargo.lock").text;
    let field = |entry: &str, key: &str| {
        let line = entry.lines().find_map(|line| line.strip_prefix(key))?;
        Some(line.trim_matches('"').to_owned())
    };
    let entries = lock.split("[[package]]\n").skip(1).map(|entry| Locked {
        name: field(entry, "name = ").unwrap(),
        version: field(entry, "version = ").unwrap(),
        dependencies: entry
            .lines()
            .filter_map(|line| Some(line.strip_prefix(" \"")?.strip_suffix("\",")?.to_owned()))
            .collect(),
    });
    entries.collect()
}

/// A version's numbers, to compare by.
fn numbers(version: &str) -> Vec<u64> {
    version.split(['.', '-', '+']).map_while(|part| part.parse().ok()).collect()
}

#[test]
fn unwanted_crates_stay_out() {
    let found = locked().into_iter().filter(|one| UNWANTED.contains(&&*one.name));
    none(&found.map(|one| one.name).collect::<Vec<_>>());
}

#[test]
fn no_system_package_is_needed() {
    let locked = locked();
    let bindings = locked.iter().filter(|one| one.name.ends_with("-sys"));
    let unknown = bindings.filter(|one| BINDINGS.iter().all(|&(known, _)| known != one.name));
    let mut faults: Vec<_> = unknown.map(|one| one.name.clone()).collect();
    let unused = BINDINGS.iter().filter(|row| locked.iter().all(|one| one.name != row.0));
    faults.extend(unused.map(|row| format!("{} is listed, and not here", row.0)));
    none(&faults);
}

#[test]
fn a_crate_is_here_in_one_version_unless_listed() {
    let locked = locked();
    let mut newest: BTreeMap<&str, &str> = BTreeMap::new();
    for one in &locked {
        let known = newest.entry(&one.name).or_insert(&one.version);
        if numbers(known) < numbers(&one.version) {
            *known = &one.version;
        }
    }
    let older = |one: &&Locked| newest.get(&*one.name).is_some_and(|&newest| newest != one.version);
    let askers = |one: &Locked| -> Vec<&str> {
        let asked = format!("{} {}", one.name, one.version);
        let asks = |one: &&Locked| one.dependencies.contains(&asked);
        locked.iter().filter(asks).map(|one| &*one.name).collect()
    };
    let is = |row: &(&str, &str, &str, &str), one: &Locked| {
        row.0 == one.name && numbers(&one.version).starts_with(&numbers(row.1))
    };
    let mut faults = Vec::new();
    for one in locked.iter().filter(older) {
        let askers = askers(one);
        let listed = OLDER.iter().find(|row| is(row, one)).map(|row| row.2);
        if listed.is_none_or(|asker| !askers.contains(&asker)) {
            let Locked { name, version, .. } = one;
            faults.push(format!("{name} {version}, asked for by {}", askers.join(", ")));
        }
    }
    let stale = OLDER.iter().filter(|row| !locked.iter().filter(older).any(|one| is(row, one)));
    faults.extend(stale.map(|row| format!("{} {} is listed, and not here", row.0, row.1)));
    none(&faults);
}

/// The names under `[dependencies]` of a package's manifest.
fn dependencies(package: &str) -> Vec<String> {
    let manifest = tree::file(&format!("{package}/Cargo.toml")).text;
    let section = manifest.split("\n[dependencies]\n").nth(1).unwrap_or_default();
    let section = section.split("\n[").next().unwrap_or_default();
    let name = |line: &str| line.split(['.', ' ', '=']).next().unwrap_or_default().to_owned();
    section.lines().map(name).filter(|name| !name.is_empty() && !name.starts_with('#')).collect()
}

#[test]
fn packages_know_of_each_other_what_architecture_draws() {
    let mut faults = Vec::new();
    for package in tree::packages() {
        let Some((_, allowed)) = WALLS.iter().find(|(name, _)| *name == package) else {
            faults.push(format!("{package} has no row here"));
            continue;
        };
        for dependency in dependencies(&package) {
            let Some(known) = dependency.strip_prefix("convoy-") else { continue };
            if !allowed.contains(&known) {
                faults.push(format!("{package} depends on {known}"));
            }
        }
    }
    none(&faults);
}

#[test]
fn the_index_is_pure() {
    let asked = dependencies("prefix-index");
    let impure = asked.into_iter().filter(|name| IMPURE.contains(&&**name));
    none(&impure.collect::<Vec<_>>());
}

/// Targets of tests beside `suite`, and why.
const OTHER_TESTS: [(&str, &str); 1] = [(
    "prefix-index/tests/loom/main.rs",
    "built with `--cfg loom` alone, which changes the library",
)];

#[test]
fn a_package_has_one_binary_of_tests() {
    let mut faults = Vec::new();
    let files = tree::rust();
    for package in tree::packages() {
        let tests = format!("{package}/tests/");
        let roots = files.iter().filter_map(|file| {
            let inside = file.path.strip_prefix(&tests)?;
            let is_root = !inside.contains('/') || inside.split_once('/')?.1 == "main.rs";
            is_root.then_some(&file.path)
        });
        for root in roots {
            let is_listed = OTHER_TESTS.iter().any(|&(path, _)| path == root);
            if !is_listed && *root != format!("{tests}suite/main.rs") {
                faults.push(root.clone());
            }
        }
    }
    none(&faults);
}
