//! What a log must hold, told from what it was asked for.

use std::collections::BTreeMap;
use std::fmt;
use std::str::{FromStr, SplitWhitespace};

/// An index and a term. The content of an entry follows from the two.
pub(super) type Place = (u64, u64);

/// What a log holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    /// Term and replica.
    pub(super) vote: Option<(u64, u64)>,
    pub(super) purged: Option<Place>,
    /// Terms by index.
    pub(super) entries: BTreeMap<u64, u64>,
    pub(super) notes: BTreeMap<u64, u64>,
}

/// One thing that a log is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Append {
        term: u64,
        first: u64,
        count: u64,
    },
    Vote {
        term: u64,
        replica: u64,
    },
    /// The term is that of the entry that stays.
    Truncate {
        after: Option<Place>,
    },
    Purge {
        upto: Place,
    },
    Note {
        name: u64,
        value: u64,
    },
}

impl Held {
    pub(super) fn last(&self) -> Option<Place> {
        let last = self.entries.last_key_value().map(|(&index, &term)| (index, term));
        last.or(self.purged)
    }

    pub(super) fn next_index(&self) -> u64 {
        self.last().map_or(0, |(index, _)| index + 1)
    }

    pub(super) fn apply(&mut self, operation: &Operation) {
        match *operation {
            Operation::Append { term, first, count } => {
                self.entries.extend((first..first + count).map(|index| (index, term)));
            }
            Operation::Vote { term, replica } => self.vote = Some((term, replica)),
            Operation::Truncate { after } => {
                drop(self.entries.split_off(&after.map_or(0, |(index, _)| index + 1)));
            }
            Operation::Purge { upto } => {
                self.purged = Some(upto);
                self.entries = self.entries.split_off(&(upto.0 + 1));
            }
            Operation::Note { name, value } => {
                self.notes.insert(name, value);
            }
        }
    }

    /// Whether `self` may be left of `operation`, begun on `before`.
    fn is_part_of(&self, operation: &Operation, before: &Self) -> bool {
        let mut partial = before.clone();
        match *operation {
            Operation::Append { term, first, count } => (0..=count).any(|done| {
                partial.apply(&Operation::Append { term, first, count: done });
                *self == partial
            }),
            Operation::Truncate { .. } => {
                let mut after = before.clone();
                after.apply(operation);
                while partial != *self && after.entries.len() < partial.entries.len() {
                    partial.entries.pop_last();
                }
                *self == partial
            }
            Operation::Vote { .. } | Operation::Purge { .. } | Operation::Note { .. } => {
                partial.apply(operation);
                *self == partial
            }
        }
    }
}

/// Checks that `found` is what remains of `operations`, begun on `base`, of which the first
/// `acknowledged` had been answered.
pub(super) fn check(
    base: &Held,
    operations: &[Operation],
    acknowledged: usize,
    found: &Held,
) -> Result<(), String> {
    let mut expected = base.clone();
    for (done, operation) in operations.iter().enumerate() {
        if acknowledged <= done && (*found == expected || found.is_part_of(operation, &expected)) {
            return Ok(());
        }
        expected.apply(operation);
    }
    if *found == expected {
        return Ok(());
    }
    let mut floor = base.clone();
    operations.iter().take(acknowledged).for_each(|operation| floor.apply(operation));
    Err(format!(
        "the log holds {}, but was left at {} with {acknowledged} of {} operations answered; \
         the next were {:?}",
        Brief(found),
        Brief(&floor),
        operations.len(),
        operations.iter().skip(acknowledged).take(4).collect::<Vec<_>>(),
    ))
}

struct Brief<'a>(&'a Held);

impl fmt::Display for Brief<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Held { vote, purged, entries, notes } = self.0;
        let (first, last) = (entries.first_key_value(), entries.last_key_value());
        write!(formatter, "vote {vote:?}, purged {purged:?}, entries {first:?} to {last:?} ")?;
        write!(formatter, "({}), notes {notes:?}", entries.len())
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Append { term, first, count } => {
                write!(formatter, "append {term} {first} {count}")
            }
            Self::Vote { term, replica } => write!(formatter, "vote {term} {replica}"),
            Self::Truncate { after: None } => write!(formatter, "truncate"),
            Self::Truncate { after: Some((index, term)) } => {
                write!(formatter, "truncate {index} {term}")
            }
            Self::Purge { upto: (index, term) } => write!(formatter, "purge {index} {term}"),
            Self::Note { name, value } => write!(formatter, "note {name} {value}"),
        }
    }
}

impl FromStr for Operation {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut words = text.split_whitespace();
        let kind = words.next().ok_or(())?;
        let mut number = || number(&mut words);
        Ok(match kind {
            "append" => Self::Append { term: number()?, first: number()?, count: number()? },
            "vote" => Self::Vote { term: number()?, replica: number()? },
            "truncate" => match number() {
                Ok(index) => Self::Truncate { after: Some((index, number()?)) },
                Err(()) => Self::Truncate { after: None },
            },
            "purge" => Self::Purge { upto: (number()?, number()?) },
            "note" => Self::Note { name: number()?, value: number()? },
            _ => return Err(()),
        })
    }
}

fn number(words: &mut SplitWhitespace<'_>) -> Result<u64, ()> {
    words.next().ok_or(())?.parse().map_err(|_| ())
}
