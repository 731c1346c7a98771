//! Our own programs, built when they are first asked for.
//!
//! A test of this package needs `epp`, a binary of another package, and cargo builds no such thing
//! for it. So the first asker in a process runs cargo, with the profile and target directory that
//! the asker was built with; cargo's own locks order several askers.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{LazyLock, OnceLock};
use std::{env, io};

use serde::Deserialize;

/// Where this program was built.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    /// The root of what cargo builds, usually `target`.
    target: PathBuf,
    /// Set when cargo was given `--target`: its directory lies between root and profile.
    triple: Option<String>,
    /// The profile, by cargo's name for it.
    profile: String,
}

static PLACE: LazyLock<Place> = LazyLock::new(|| {
    let executable = env::current_exe().unwrap_or_default();
    let marked = |directory: &Path| directory.join("CACHEDIR.TAG").is_file();
    Place::of(&executable, marked).unwrap_or_else(|| Place {
        target: PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target")),
        triple: None,
        profile: if cfg!(debug_assertions) { "dev" } else { "release" }.to_owned(),
    })
});

/// Why our programs could not be built.
#[derive(Clone, Debug, thiserror::Error)]
pub enum BuildError {
    #[error("cannot run {cargo}: {reason}")]
    Cargo { cargo: PathBuf, reason: String },
    #[error("cargo could not build {}:\n{output}", PROGRAMS.join(" and "))]
    Failed { output: String },
}

const EPP: &str = "epp";
const MODEL_SERVER: &str = "model-server";
const PROGRAMS: [&str; 2] = [EPP, MODEL_SERVER];

/// The picker.
pub fn epp() -> Result<PathBuf, BuildError> {
    built(EPP)
}

/// The simulated model server.
pub fn model_server() -> Result<PathBuf, BuildError> {
    built(MODEL_SERVER)
}

/// Where `program` is, once all are built. They are built together, so that what they share is
/// compiled once.
fn built(program: &str) -> Result<PathBuf, BuildError> {
    static BUILT: OnceLock<Result<String, BuildError>> = OnceLock::new();
    let messages = BUILT.get_or_init(build).as_deref().map_err(BuildError::clone)?;
    let missing =
        || BuildError::Failed { output: format!("cargo does not say where {program} is") };
    executable(messages, program).ok_or_else(missing)
}

/// The directory that cargo builds into, and under which everything else that tests make belongs.
pub fn target_directory() -> &'static Path {
    &PLACE.target
}

/// Builds all programs. Returns what cargo says about them.
fn build() -> Result<String, BuildError> {
    let cargo = env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from);
    let mut command = Command::new(&cargo);
    command
        .args(["build", "--locked", "--message-format=json-render-diagnostics"])
        .args(["--package", "convoy-node", "--package", "convoy-tests"])
        .args(PROGRAMS.iter().flat_map(|program| ["--bin", program]))
        .args(["--profile", &PLACE.profile])
        .args(PLACE.triple.iter().flat_map(|triple| ["--target", triple.as_str()]))
        .arg("--target-dir")
        .arg(&PLACE.target)
        .arg("--manifest-path")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"));
    let output = command
        .output()
        .map_err(|error: io::Error| BuildError::Cargo { cargo, reason: error.to_string() })?;
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(BuildError::Failed { output: text(&output.stderr) })
    }
}

/// Finds where cargo says it put `binary`, in its messages of one JSON object a line.
fn executable(messages: &str, binary: &str) -> Option<PathBuf> {
    #[derive(Deserialize)]
    struct Artifact {
        target: Target,
        executable: Option<PathBuf>,
    }
    #[derive(Deserialize)]
    struct Target {
        name: String,
    }
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Artifact>(line).ok())
        .find(|artifact| artifact.target.name == binary)?
        .executable
}

impl Place {
    /// Reads target directory, triple and profile off the path of a program that cargo built:
    /// `<target>[/<triple>]/<profile directory>/[deps/]<program>`. `marked` tells whether a
    /// directory has the tag that cargo puts at the root of what it builds.
    fn of(executable: &Path, marked: impl Fn(&Path) -> bool) -> Option<Self> {
        let target = executable.ancestors().skip(1).find(|directory| marked(directory))?;
        let below = executable.strip_prefix(target).ok()?.parent()?;
        let mut below: Vec<&str> =
            below.iter().map(|part| part.to_str()).collect::<Option<Vec<_>>>()?;
        below.retain(|&part| part != "deps");
        let (triple, profile) = match below.as_slice() {
            [profile] => (None, *profile),
            [triple, profile] => (Some((*triple).to_owned()), *profile),
            _ => return None,
        };
        // The profile called dev is the one whose directory has another name.
        let profile = if profile == "debug" { "dev" } else { profile }.to_owned();
        Some(Self { target: target.to_owned(), triple, profile })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(executable: &str, expected: Option<(Option<&str>, &str)>) {
        let place = Place::of(Path::new(executable), |path| path == Path::new("/w/target"));
        let found = place.as_ref().map(|place| (place.triple.as_deref(), place.profile.as_str()));
        assert_eq!(found, expected);
    }

    #[test]
    fn profile_and_triple_are_read_off_the_path() {
        check("/w/target/debug/demo", Some((None, "dev")));
        check("/w/target/debug/deps/suite-0123", Some((None, "dev")));
        check("/w/target/release/deps/suite-0123", Some((None, "release")));
        check("/w/target/x86_64-unknown-linux-musl/bench/demo", {
            Some((Some("x86_64-unknown-linux-musl"), "bench"))
        });
        check("/usr/bin/demo", None);
    }

    #[test]
    fn the_executable_is_found_among_other_messages() {
        let messages = concat!(
            r#"{"reason":"compiler-artifact","target":{"name":"bytes"},"executable":null}"#,
            "\nnot json\n",
            r#"{"reason":"compiler-artifact","target":{"name":"epp"},"executable":"/t/epp"}"#,
            "\n",
            r#"{"reason":"build-finished","success":true}"#,
        );
        assert_eq!(executable(messages, "epp"), Some(PathBuf::from("/t/epp")));
        assert_eq!(executable(messages, "eppctl"), None);
    }

    #[test]
    fn this_program_lies_in_the_target_directory() {
        assert!(env::current_exe().unwrap().starts_with(target_directory()));
    }
}
