//! The files of the tree.

use std::fs;
use std::path::{Path, PathBuf};

/// One text file.
#[derive(Debug)]
pub(super) struct File {
    /// From the root of the tree, with slashes.
    pub(super) path: String,
    pub(super) text: String,
}

/// The root of the tree.
pub(super) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

/// Every text file but those that are built or git's own.
pub(super) fn files() -> Vec<File> {
    let (root, mut found) = (root(), Vec::new());
    let mut directories = vec![root.clone()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let entry = entry.unwrap();
            let (path, name) = (entry.path(), entry.file_name());
            if name == ".git" || name == "target" {
                continue;
            }
            if entry.file_type().unwrap().is_dir() {
                // A directory that git keeps apart is another tree.
                if !path.join(".git").exists() {
                    directories.push(path);
                }
            } else if let Ok(text) = fs::read_to_string(&path) {
                let path = path.strip_prefix(&root).unwrap().to_str().unwrap();
                found.push(File { path: path.to_owned(), text });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(100 < found.len(), "only {} files under {}", found.len(), root.display());
    found
}

/// Every Rust file.
pub(super) fn rust() -> Vec<File> {
    files().into_iter().filter(|file| file.is("rs")).collect()
}

/// One file that has to be there.
pub(super) fn file(path: &str) -> File {
    let text = fs::read_to_string(root().join(path));
    let text = text.unwrap_or_else(|error| unreachable!("{path}: {error}"));
    File { path: path.to_owned(), text }
}

/// The directories of the workspace's packages, by its manifest.
pub(super) fn packages() -> Vec<String> {
    let manifest = file("Cargo.toml").text;
    let members = manifest.lines().find_map(|line| line.strip_prefix("members = [")).unwrap();
    members.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

impl File {
    pub(super) fn is(&self, extension: &str) -> bool {
        Path::new(&self.path).extension().is_some_and(|found| found == extension)
    }

    /// The lines that are test code, numbered from 1: all in what only tests use, else those after
    /// the mark of an inline module of tests.
    pub(super) fn lines_of_tests(&self) -> impl Iterator<Item = (usize, &str)> {
        let only_tests = self.path.starts_with("tests/")
            || self.path.contains("/tests/")
            || self.path.ends_with("/tests.rs");
        let mark = self.text.find("#[cfg(test)]\nmod tests {");
        let from = if only_tests { 0 } else { mark.unwrap_or(self.text.len()) };
        let before = self.text[..from].lines().count();
        self.text[from..].lines().enumerate().map(move |(at, line)| (before + at + 1, line))
    }
}
