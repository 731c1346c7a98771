//! The shapes of the documents.

use super::{
    none,
    tree::{self, File},
};

/// The headings of a release's parts.
const PARTS: [&str; 6] = [
    "Added",
    "Changed",
    "Different from the picker that it replaces",
    "Fixed",
    "Removed",
    "Deprecated",
];

#[test]
fn the_changelog_has_its_shape() {
    let text = tree::file("CHANGELOG.md").text;
    let mut faults = Vec::new();
    let mut releases = Vec::new();
    let mut in_part = false;
    for (at, line) in (1..).zip(text.lines()) {
        let legal = if let Some(release) = line.strip_prefix("## ") {
            in_part = false;
            releases.push(release);
            // A version and its date: `0.1.0 - 2026-11-21`.
            release == "Unreleased"
                || release.split_once(" - ").is_some_and(|(version, date)| {
                    version.split('.').filter(|number| is_number(number)).count() == 3
                        && is_date(date)
                })
        } else if let Some(part) = line.strip_prefix("### ") {
            in_part = true;
            PARTS.contains(&part) && !releases.is_empty()
        } else if line.is_empty() || at <= 3 {
            true
        } else {
            in_part && (line.starts_with("- ") || line.starts_with("  "))
        };
        if !legal {
            faults.push(format!("CHANGELOG.md:{at}: {line}"));
        }
    }
    assert!(text.starts_with("# Changelog\n"), "its title is another");
    assert_eq!(releases.first(), Some(&"Unreleased"), "what is not released comes first, once");
    assert_eq!(releases.iter().filter(|release| **release == "Unreleased").count(), 1);
    none(&faults);
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether `text` is written as 2026-11-21.
fn is_date(text: &str) -> bool {
    let parts: Vec<_> = text.split('-').collect();
    parts.iter().map(|part| part.len()).eq([4, 2, 2]) && parts.iter().all(|part| is_number(part))
}

#[test]
fn a_decision_says_context_choice_cost_and_when_to_change_it() {
    let text = tree::file("DECISIONS.md").text;
    let mut dates = Vec::new();
    let mut faults = Vec::new();
    for entry in text.split("\n## ").skip(1) {
        let heading = entry.lines().next().unwrap_or_default();
        let (date, title) = heading.split_once(' ').unwrap_or_default();
        if !is_date(date) || title.is_empty() {
            faults.push(format!("{heading}: not a date and a title"));
        }
        dates.push(date);
        let parts = ["\nContext: ", "\nChoice: ", "\nCost: ", "\nChange our mind if: "];
        let places: Vec<_> = parts.iter().filter_map(|part| entry.find(part)).collect();
        if places.len() < parts.len() || !places.is_sorted() {
            faults.push(format!("{heading}: not context, choice, cost and when to change it"));
        }
    }
    none(&faults);
    assert!(!dates.is_empty() && dates.is_sorted_by(|a, b| b <= a), "the newest stands first");
}

/// Lines of the README at most: it is read by who has not decided to stay.
const README_LINES_MAX: usize = 120;

#[test]
fn the_readme_is_short() {
    let lines = tree::file("README.md").text.lines().count();
    assert!(lines <= README_LINES_MAX, "{lines} lines");
}

fn documents() -> impl Iterator<Item = File> {
    tree::files().into_iter().filter(|file| file.is("md"))
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut faults = Vec::new();
    for File { path, text } in documents() {
        let directory = tree::root().join(&path).with_file_name("");
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.contains("://") && !link.starts_with('#')) {
            let target = link.split('#').next().unwrap_or_default();
            if !directory.join(target).exists() {
                faults.push(format!("{path}: {link}"));
            }
        }
    }
    none(&faults);
}

/// Files and directories that documents name in backticks, with a slash in them, are there.
#[test]
fn paths_that_documents_name_are_there() {
    let tops = ["node/", "prefix-index/", "proto/", "raft/", "tests/", "deploy/", "chaos/", ".ci/"];
    let mut faults = Vec::new();
    for File { path, text } in documents() {
        let quoted = text.split('`').skip(1).step_by(2);
        let beside = tree::root().join(&path).with_file_name("");
        for named in quoted.filter(|named| tops.iter().any(|top| named.starts_with(top))) {
            if !tree::root().join(named).exists() && !beside.join(named).exists() {
                faults.push(format!("{path}: {named}"));
            }
        }
    }
    none(&faults);
}
