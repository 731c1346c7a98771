//! The command line of the picker that Convoy replaces, and Convoy's own flags.
//!
//! `flags` is the one table of flags: arguments are read by it, and help and documentation are
//! written from it. What an operator writes becomes a `written::Written`, and, once it is known to
//! make sense, [`Settings`].

mod arguments;
mod check;
mod error;
mod flags;
mod help;
mod settings;
mod written;

use std::ffi::OsString;

pub use error::CommandLineError;
pub use help::{flags_table, help};
pub use settings::{Pool, PoolGroup, ResponseObservation, Scraping, Serving, Settings, Share, Tls};

/// What the environment adds to the arguments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// `NAMESPACE`: where the pool is, unless a flag says so.
    pub namespace: Option<String>,
}

/// What the operator asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Invocation {
    Run(Box<Settings>),
    /// Print the help and be done.
    Help,
    /// Print the version and be done.
    Version,
}

/// Reads the arguments that follow the program's name.
///
/// Both the forms of Go's `pflag` and those of its standard `flag` package are understood, since
/// charts and controllers use both: `--name value`, `--name=value`, `-name value`, `-name=value`,
/// `-v4`. A switch takes its value only after `=`. Of a flag given twice the last counts, except
/// that lists grow. Empty arguments are ignored.
pub fn parse(
    arguments: impl IntoIterator<Item = OsString>,
    environment: &Environment,
) -> Result<Invocation, CommandLineError> {
    match arguments::read(arguments)? {
        arguments::Read::Help => Ok(Invocation::Help),
        arguments::Read::Version => Ok(Invocation::Version),
        arguments::Read::Written(written, given) => {
            let settings = check::check(*written, &given, environment)?;
            Ok(Invocation::Run(Box::new(settings)))
        }
    }
}

#[cfg(test)]
mod tests;
