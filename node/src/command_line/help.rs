//! The help that `--help` prints, and the table of flags for the documentation.

use std::fmt::Write as _;

use super::flags::{FLAGS, Flag, Group};

/// Columns of a terminal that help is written for.
const COLUMNS: usize = 80;

/// How far meanings are indented under their flags.
const INDENT: &str = "        ";

/// What `--help` prints.
pub fn help() -> String {
    let mut text = String::from(
        "epp picks the model server for each request that Envoy asks about (ext_proc).\n\n\
         Usage: epp [--pool-name NAME] [--config-file FILE] [FLAG...]\n\n\
         Flags are written --name value or --name=value, switches --name or --name=false.\n\
         Durations are written 50ms, 2s, 1m30s; byte counts 65536, 64Ki, 10MB.\n\
         --help prints this text, --version the version.\n",
    );
    for group in Group::ALL {
        line(&mut text, format_args!("\n{}:\n", group.title()));
        for flag in FLAGS.iter().filter(|flag| flag.group == group) {
            describe(&mut text, flag);
        }
    }
    text
}

fn describe(text: &mut String, flag: &Flag) {
    let dashes = if flag.name.len() == 1 { "-v, --" } else { "--" };
    line(text, format_args!("  {dashes}{} {}", flag.name, flag.slot.placeholder()));
    text.truncate(text.trim_end().len());
    text.push('\n');
    let mut meaning = flag.meaning.to_owned();
    let default = flag.slot.default_text();
    if !default.is_empty() {
        line(&mut meaning, format_args!(" [{default}]"));
    }
    let mut column = 0;
    for word in meaning.split(' ') {
        if column == 0 || COLUMNS < column + 1 + word.len() {
            text.push_str(if column == 0 { INDENT } else { "\n        " });
            column = INDENT.len() + word.len();
        } else {
            text.push(' ');
            column += 1 + word.len();
        }
        text.push_str(word);
    }
    text.push('\n');
}

/// The flags as Markdown tables, one per group, for the documentation.
pub fn flags_table() -> String {
    let mut text = String::new();
    for group in Group::ALL {
        line(&mut text, format_args!("### {}\n\n", group.title()));
        text.push_str("| flag | default | meaning |\n|---|---|---|\n");
        for Flag { name, slot, meaning, .. } in FLAGS.iter().filter(|flag| flag.group == group) {
            let default = match slot.default_text() {
                none if none.is_empty() => "none".to_owned(),
                default => format!("`{default}`"),
            };
            line(&mut text, format_args!("| `--{name}` | {default} | {meaning} |\n"));
        }
        text.push('\n');
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

fn line(text: &mut String, what: std::fmt::Arguments<'_>) {
    text.write_fmt(what).expect("writing to a string cannot fail");
}
