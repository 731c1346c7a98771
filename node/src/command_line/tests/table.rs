//! The table of flags, and the help that is written from it.

use super::*;
use crate::command_line::flags::{FLAGS, NOT_YET, Slot};

#[test]
fn every_default_in_the_table_is_a_value_that_its_flag_takes() {
    for flag in FLAGS {
        let default = flag.slot.default_text();
        let unsaid = default.is_empty() && matches!(flag.slot, Slot::Words(_));
        let form = format!("--{}={default}", flag.name);
        assert!(unsaid || invoked(&[&form]).is_ok(), "{form}");
    }
}

#[test]
fn no_flag_stands_in_the_tables_twice() {
    let mut names: Vec<_> = FLAGS.iter().map(|flag| flag.name).collect();
    names.extend(NOT_YET.iter().map(|(name, _)| name));
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
}

#[test]
fn help_and_documentation_name_every_flag_within_80_columns() {
    let (help, table) = (help(), flags_table());
    for flag in FLAGS {
        let name = format!("--{}", flag.name);
        assert!(help.contains(&name) && table.contains(&name), "{name}");
    }
    assert!(help.lines().all(|line| line.chars().count() <= 80), "{help}");
}
