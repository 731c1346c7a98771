//! What every source file keeps to.

use super::{
    none,
    tree::{self, File},
};

/// Lines of a file at most.
const LINES_MAX: usize = 400;

/// Files that are longer, and why.
const LONGER: [(&str, &str); 0] = [];

/// Tests, or what they are made of, that let time pass, and why.
const SLEEPS: [(&str, &str); 12] = [
    ("node/src/bench/metronome.rs", "waiting is what a metronome is for"),
    ("node/src/discovery/file/tests.rs", "asks again and again until the file was read"),
    ("node/src/supervision/tree/tests.rs", "asks again and again until actors have changed"),
    ("raft/tests/suite/store/crash.rs", "kills at a random moment, which is what it is about"),
    ("tests/src/body.rs", "a body that rests between its parts, as its script says"),
    ("tests/src/conversations/play.rs", "people think between their turns"),
    ("tests/src/conversations/tests.rs", "a server that takes its time, under paused time"),
    ("tests/src/model_server/body.rs", "a reset must not overtake what was written before it"),
    ("tests/src/model_server/connection.rs", "waits for file descriptors to come free"),
    ("tests/src/model_server/server.rs", "an engine's step takes the time that its model takes"),
    ("tests/src/processes/eventually.rs", "the one place that waits for a condition"),
    ("tests/tests/suite/envoy/restarts.rs", "a load runs for a time; discovery takes its time"),
];

/// What requests pass through, where nothing may wait for another thread.
const WITHOUT_LOCKS: [&str; 9] = [
    "node/src/budget.rs",
    "node/src/extproc/",
    "node/src/http2/",
    "node/src/metrics/histogram.rs",
    "node/src/metrics/recorder.rs",
    "node/src/openai/",
    "node/src/plugins/",
    "node/src/scheduling/",
    "node/src/server/streams.rs",
];

#[test]
fn what_a_pick_runs_through_has_no_lock() {
    let locks = ["Mutex", "RwLock", "Condvar", "Semaphore", "Family"];
    let mut faults = Vec::new();
    for place in WITHOUT_LOCKS {
        let files = tree::rust();
        let inside: Vec<_> = files.iter().filter(|file| file.path.starts_with(place)).collect();
        if inside.is_empty() {
            faults.push(format!("{place} is listed, and is not there"));
        }
        for file in inside {
            let lines = (1..).zip(file.text.lines());
            let code = lines.filter(|(_, line)| !line.trim_start().starts_with("//"));
            let found = code.filter(|(_, line)| locks.iter().any(|lock| line.contains(lock)));
            faults.extend(found.map(|(at, line)| format!("{}:{at}: {}", file.path, line.trim())));
        }
    }
    none(&faults);
}

#[test]
fn a_file_fits_in_400_lines() {
    let mut faults = Vec::new();
    for file in tree::files() {
        let is_source = ["rs", "proto", "sh", "py"].iter().any(|extension| file.is(extension));
        let is_longer = LONGER.iter().any(|&(path, _)| path == file.path);
        let lines = file.text.lines().count();
        if (is_source || file.path == ".ci/run") && is_longer != (LINES_MAX < lines) {
            faults.push(format!("{} has {lines} lines", file.path));
        }
    }
    none(&faults);
}

#[test]
fn a_file_says_first_what_it_is_for() {
    let says = |file: &File| {
        file.text.strip_prefix("//! ").is_some_and(|rest| rest.starts_with(char::is_alphanumeric))
            || file.text.starts_with("//! `")
    };
    let silent = tree::rust().into_iter().filter(|file| !says(file)).map(|file| file.path);
    none(&silent.collect::<Vec<_>>());
}

#[test]
fn a_file_is_part_of_a_package() {
    let files = tree::rust();
    let names = |file: &File, module: &str| {
        let declared = format!("mod {module};");
        file.text.lines().any(|line| line.trim_end().ends_with(&declared))
    };
    let mut orphans = Vec::new();
    for file in &files {
        let (directory, name) = file.path.rsplit_once('/').unwrap_or_default();
        let stem = name.trim_end_matches(".rs");
        let is_root = matches!(stem, "main" | "lib" | "build" | "mod")
            || directory.ends_with("/bin")
            || directory.ends_with("/benches");
        let parents = ["mod.rs", "main.rs", "lib.rs"].map(|parent| format!("{directory}/{parent}"));
        let own = format!("{directory}.rs");
        let is_parent = |other: &&File| parents.contains(&other.path) || other.path == own;
        if !is_root && !files.iter().filter(is_parent).any(|parent| names(parent, stem)) {
            orphans.push(file.path.clone());
        }
    }
    none(&orphans);
}

#[test]
fn a_test_is_named_by_its_claim() {
    let mut faults = Vec::new();
    let prefix = concat!("fn ", "test_");
    for file in tree::rust() {
        let named = file.text.lines().filter(|line| line.contains(prefix));
        faults.extend(named.map(|line| format!("{}: {}", file.path, line.trim())));
    }
    none(&faults);
}

#[test]
fn no_test_lets_time_pass_unless_listed() {
    let calls = [concat!("sleep", "("), concat!("sleep_", "until(")];
    let mut faults = Vec::new();
    for file in tree::rust() {
        let slept =
            file.lines_of_tests().find(|(_, line)| calls.iter().any(|call| line.contains(call)));
        let may = SLEEPS.iter().any(|&(path, _)| path == file.path);
        match slept {
            Some((line, _)) if !may => faults.push(format!("{}:{line} sleeps", file.path)),
            None if may => faults.push(format!("{} is listed, and does not sleep", file.path)),
            _ => {}
        }
    }
    none(&faults);
}

/// Places of the machine that somebody worked on.
#[test]
fn nothing_names_a_place_of_one_machine() {
    let places = ["work", "home", "tmp", "root"].map(|place| format!("/{place}/"));
    let mut faults = Vec::new();
    for File { path, text } in tree::files() {
        for (at, line) in (1..).zip(text.lines()) {
            let named = places.iter().any(|place| {
                line.match_indices(place).any(|(from, _)| {
                    let before = line[..from].chars().next_back();
                    !before.is_some_and(|char| char.is_alphanumeric() || "._-})".contains(char))
                })
            });
            if named {
                faults.push(format!("{path}:{at}: {}", line.trim()));
            }
        }
    }
    none(&faults);
}
