//! Arguments, told apart into flags and values as Go's two flag packages do.

use std::{collections::BTreeSet, ffi::OsString};

use super::{
    CommandLineError,
    flags::{FLAGS, Flag, NOT_YET, Slot},
    written::Written,
};
use crate::notation::nearest;

/// The names of the flags that stand on the command line.
pub(super) type Given = BTreeSet<&'static str>;

/// What the arguments say.
#[derive(Debug)]
pub(super) enum Read {
    Written(Box<Written>, Given),
    Help,
    Version,
}

pub(super) fn read(
    arguments: impl IntoIterator<Item = OsString>,
) -> Result<Read, CommandLineError> {
    let mut written = Box::<Written>::default();
    let mut given = Given::new();
    let mut last_switch = None;
    let mut flags_are_over = false;
    let mut arguments = (1..).zip(arguments);
    while let Some(argument) = arguments.next() {
        let argument = text(argument)?;
        if argument.is_empty() {
            continue;
        }
        if argument == "--" {
            flags_are_over = true;
            continue;
        }
        let flag = words(&argument).filter(|_| !flags_are_over);
        let Some(Words { name, value, single_dash }) = flag else {
            return Err(CommandLineError::Stray { value: argument, after_switch: last_switch });
        };
        if name == "help" || name == "h" {
            return Ok(Read::Help);
        }
        if name == "version" {
            return Ok(Read::Version);
        }
        let (flag, value) = match find(name) {
            Some(flag) => (flag, value.map(str::to_owned)),
            None => match glued(name).filter(|_| single_dash && value.is_none()) {
                Some((flag, value)) => (flag, Some(value.to_owned())),
                None => return Err(unknown(name, &argument)),
            },
        };
        let is_switch = matches!(flag.slot, Slot::Switch(_));
        last_switch = is_switch.then_some(flag.name);
        let value = match value {
            Some(value) => value,
            None if is_switch => "true".to_owned(),
            None => next_value(flag, arguments.next())?,
        };
        let first = given.insert(flag.name);
        if flag.slot.set(&mut written, &value, first).is_none() {
            let expected = flag.slot.expected();
            return Err(CommandLineError::Value { name: flag.name, value, expected });
        }
    }
    Ok(Read::Written(written, given))
}

fn text((position, argument): (usize, OsString)) -> Result<String, CommandLineError> {
    argument.into_string().map_err(|_| CommandLineError::NotUtf8 { position })
}

/// A flag as it is written.
struct Words<'a> {
    name: &'a str,
    value: Option<&'a str>,
    single_dash: bool,
}

/// Takes `--name`, `-name`, and either with `=value`; nothing else is a flag.
fn words(argument: &str) -> Option<Words<'_>> {
    let without_dash = argument.strip_prefix('-')?;
    let (single_dash, body) = match without_dash.strip_prefix('-') {
        Some(body) => (false, body),
        None => (true, without_dash),
    };
    let (name, value) = match body.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (body, None),
    };
    (!name.is_empty()).then_some(Words { name, value, single_dash })
}

fn find(name: &str) -> Option<&'static Flag> {
    FLAGS.iter().find(|flag| flag.name == name)
}

/// Takes `v4` for `v` with the value `4`, as `pflag` does after a single dash.
fn glued(name: &str) -> Option<(&'static Flag, &str)> {
    let value = name.strip_prefix('v')?;
    let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    Some((find("v")?, value)).filter(|_| is_number)
}

/// The argument after a flag, unless that is plainly the next flag.
fn next_value(
    flag: &'static Flag,
    next: Option<(usize, OsString)>,
) -> Result<String, CommandLineError> {
    let no_value = || CommandLineError::NoValue { name: flag.name, expected: flag.slot.expected() };
    let value = text(next.ok_or_else(no_value)?)?;
    match words(&value) {
        Some(Words { name, .. }) if find(name).is_some() => Err(no_value()),
        _ => Ok(value),
    }
}

fn unknown(name: &str, argument: &str) -> CommandLineError {
    if let Some(&(name, instead)) = NOT_YET.iter().find(|(known, _)| *known == name) {
        return CommandLineError::NotYet { name, instead };
    }
    let known = FLAGS.iter().map(|flag| flag.name);
    let known = known.chain(NOT_YET.iter().map(|&(name, _)| name));
    let written = argument.split('=').next().unwrap_or(argument).to_owned();
    CommandLineError::Unknown { written, nearest: nearest(name, known) }
}
