//! Which version of Convoy this is.

/// The release.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit that was built, as whoever builds an image says it.
pub const COMMIT: Option<&str> = option_env!("CONVOY_COMMIT");

/// What `program --version` prints.
pub fn line(program: &str) -> String {
    match COMMIT {
        Some(commit) => format!("{program} {VERSION} (commit {commit})\n"),
        None => format!("{program} {VERSION}\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_names_program_and_release() {
        let line = line("epp");
        assert!(line.starts_with(&format!("epp {VERSION}")) && line.ends_with('\n'), "{line}");
    }
}
