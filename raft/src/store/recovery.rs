//! How a log is opened: what sled lost is carried out again, everything is checked, and a log that
//! cannot be trusted is set aside.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::changes::{Changes, Tree};
use super::engine::Engine;
use super::error::{Damage, OpenError, panic_text};
use super::home::{self, Home};
use super::record::{self, Assembly, Chained};
use super::side::{Records, Side};
use super::state::{Position, State, note_digest};
use super::tail::{Bounds, KEPT_BYTES_MAX, bytes_of};
use crate::types::Entry;

/// A log that keeps an opening from coming through this often is set aside: sled may have ended
/// the process over it, or hang.
const OPENINGS_MAX: u8 = 8;

/// A log that was opened and found whole.
#[derive(Debug)]
pub(super) struct Recovered {
    pub(super) engine: Engine,
    pub(super) file: File,
    pub(super) side: Side,
    pub(super) state: State,
    pub(super) notes: BTreeMap<String, Bytes>,
    pub(super) bounds: Bounds,
    /// The youngest entries.
    pub(super) entries: VecDeque<Entry>,
    /// Commits that sled had lost, and that were carried out again.
    pub(super) healed: usize,
}

/// A log that could not be trusted.
#[derive(Debug)]
pub struct SetAside {
    /// Where it is, for diagnosis. The next one takes its place.
    pub path: PathBuf,
    pub damage: Damage,
}

/// Opens the log in `home`, or makes one.
pub(super) fn open(home: &Home) -> Result<(Recovered, Option<SetAside>), OpenError> {
    let log = home.log();
    let io = |doing, path: &Path| {
        let path = path.to_owned();
        move |source| OpenError::Io { doing, path, source }
    };
    if !log.try_exists().map_err(io("look for", &log))? {
        make(home)?;
    }
    let before = home.begin_opening().map_err(io("count openings in", home.path()))?;
    let opened = match before {
        0..OPENINGS_MAX => attempt(&log),
        count => Err(Trouble::Damage(Damage::Openings { count })),
    };
    let done = match opened {
        Ok(recovered) => (recovered, None),
        Err(Trouble::Io { doing, source }) => return Err(io(doing, &log)(source)),
        Err(Trouble::Damage(damage)) => {
            let path = home.set_aside().map_err(io("set aside", &log))?;
            make(home)?;
            let fresh = attempt(&log).map_err(|trouble| match trouble {
                Trouble::Io { doing, source } => io(doing, &log)(source),
                Trouble::Damage(found) => OpenError::Fresh { path: log.clone(), found },
            })?;
            (fresh, Some(SetAside { path, damage }))
        }
    };
    home.end_opening().map_err(io("count openings in", home.path()))?;
    Ok(done)
}

/// Why an attempt failed.
enum Trouble {
    /// The system refused; the log may be whole.
    Io {
        doing: &'static str,
        source: io::Error,
    },
    Damage(Damage),
}

impl<T: Into<Damage>> From<T> for Trouble {
    fn from(damage: T) -> Self {
        Self::Damage(damage.into())
    }
}

/// Makes an empty log, whole or not at all.
fn make(home: &Home) -> Result<(), OpenError> {
    let path = home.unfinished();
    let made = (|| {
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        home::private().create(&path)?;
        let sled = path.join("sled");
        Engine::open(&sled).and_then(|engine| engine.flush()).map_err(io::Error::from)?;
        Engine::file(&sled)?.set_permissions(Permissions::from_mode(0o600))?;
        Side::open(&path)?;
        home::sync_tree(&path)?;
        fs::rename(&path, home.log())?;
        home::sync_directory(home.path())?;
        // The directory itself may be as young.
        home.path().parent().map_or(Ok(()), home::sync_directory)
    })();
    made.map_err(|source| OpenError::Io { doing: "make a log in", path, source })
}

/// Opens and checks. Nothing of what sled does over a damaged file gets out of here but an error.
fn attempt(log: &Path) -> Result<Recovered, Trouble> {
    catch_unwind(AssertUnwindSafe(|| recover(log)))
        .unwrap_or_else(|panic| Err(Damage::Panic { said: panic_text(&*panic) }.into()))
}

fn recover(log: &Path) -> Result<Recovered, Trouble> {
    let sled = log.join("sled");
    let (side, records) =
        Side::open(log).map_err(|source| Trouble::Io { doing: "read the side file of", source })?;
    let engine = Engine::open(&sled).map_err(engine_trouble)?;
    let file = Engine::file(&sled)
        .map_err(|source| Trouble::Io { doing: "open sled's file in", source })?;
    let healed = heal(&engine, &file, records)?;
    let state = match read_state(&engine)? {
        Some(state) => state,
        None if engine.is_empty() => State::default(),
        None => return Err(Damage::Stateless.into()),
    };
    let notes = check_notes(&engine, &state)?;
    let (bounds, entries) = check_entries(&engine, &state)?;
    Ok(Recovered { engine, file, side, state, notes, bounds, entries, healed })
}

/// Carries out again what the side file holds and sled lost.
fn heal(engine: &Engine, file: &File, records: Records) -> Result<usize, Trouble> {
    let known = read_state(engine)?.map_or(0, |state| state.commit);
    let Some(side) = records.last().filter(|&side| known < side) else {
        return Ok(0);
    };
    let lost = records.since(known).ok_or(Damage::Behind { engine: known, side })?;
    for changes in &lost {
        engine.apply(changes).map_err(engine_trouble)?;
    }
    flush(engine, file)?;
    Ok(lost.len())
}

fn read_state(engine: &Engine) -> Result<Option<State>, Trouble> {
    let written = engine.state().map_err(engine_trouble)?;
    Ok(written.map(|written| State::read(&written)).transpose()?)
}

fn check_notes(engine: &Engine, state: &State) -> Result<BTreeMap<String, Bytes>, Trouble> {
    let mut notes = BTreeMap::new();
    let mut digest = 0;
    for note in engine.notes() {
        let (name, value) = note.map_err(engine_trouble)?;
        let name = String::from_utf8(name.to_vec()).map_err(|_| Damage::Notes)?;
        digest ^= note_digest(&name, &value);
        notes.insert(name, Bytes::copy_from_slice(&value));
    }
    if digest != state.notes {
        return Err(Damage::Notes.into());
    }
    Ok(notes)
}

/// Reads the whole log, and checks that it is the one that `state` speaks of.
fn check_entries(engine: &Engine, state: &State) -> Result<(Bounds, VecDeque<Entry>), Trouble> {
    let from = state.purged.map_or(0, |purged| purged.log_id.index + 1);
    let end = state.last.map_or(from, |last| last.log_id.index + 1);
    let expected = state.purged.map(|_| from);
    let mut assembly =
        Assembly::after(Some(state.purged.map_or(record::ROOT, |at| at.chain)), expected);
    let mut first = None;
    let mut last = None;
    let mut entries = VecDeque::new();
    let mut bytes = 0;
    let mut beyond = Changes::default();
    for part in engine.parts(from) {
        let (key, value) = part.map_err(engine_trouble)?;
        if end <= record::parse_key(&key)?.0 {
            beyond.delete(Tree::Log, &key);
            continue;
        }
        let Some(Chained { entry, chain }) = assembly.take(&key, &value)? else {
            continue;
        };
        first.get_or_insert(entry.log_id.index);
        last = Some(Position { log_id: entry.log_id, chain });
        bytes += bytes_of(&entry);
        entries.push_back(entry);
        while KEPT_BYTES_MAX < bytes {
            bytes -= entries.pop_front().as_ref().map_or(0, bytes_of);
        }
    }
    assembly.finish()?;
    if last != state.last {
        let index = |position: Option<Position>| position.map(|at| at.log_id.index);
        return Err(Damage::End { found: index(last), expected: index(state.last) }.into());
    }
    // A commit of which a crash left the entries and nothing else. It was never acknowledged.
    if beyond.count() != 0 {
        engine.apply(&beyond).and_then(|()| engine.flush()).map_err(engine_trouble)?;
    }
    let bounds = Bounds {
        purged: state.purged.map(|at| at.log_id),
        first_index: first.unwrap_or(from),
        last: last.map(|at| at.log_id),
    };
    Ok((bounds, entries))
}

fn flush(engine: &Engine, file: &File) -> Result<(), Trouble> {
    engine.flush().map_err(engine_trouble)?;
    file.sync_data().map_err(|source| Trouble::Io { doing: "sync sled's file in", source })
}

/// Tells what the system refuses from what sled finds wrong. When in doubt it is damage: a replica
/// that joins again costs less than one that never starts.
fn engine_trouble(error: sled::Error) -> Trouble {
    match error {
        sled::Error::Io(source) if is_refusal(&source) => Trouble::Io { doing: "open", source },
        sled::Error::Io(_)
        | sled::Error::CollectionNotFound(_)
        | sled::Error::Unsupported(_)
        | sled::Error::ReportableBug(_)
        | sled::Error::Corruption { .. } => Damage::Engine { said: error.to_string() }.into(),
    }
}

fn is_refusal(error: &io::Error) -> bool {
    const TOO_MANY_FILES: [i32; 2] = [23, 24];
    error.raw_os_error().is_some_and(|code| TOO_MANY_FILES.contains(&code))
        || matches!(
            error.kind(),
            ErrorKind::PermissionDenied
                | ErrorKind::ReadOnlyFilesystem
                | ErrorKind::StorageFull
                | ErrorKind::QuotaExceeded
                | ErrorKind::OutOfMemory
                | ErrorKind::Interrupted
        )
}
