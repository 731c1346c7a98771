//! The one writer of a machine: applies, publishes, then tells what came of it.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use convoy_prefix_index::{Origin, Sequence};

use super::{
    Applied, FrozenMachine, LogPosition, Machine, MachineDigest, Membership, StopCause, Stopped,
    audit::{CHECKPOINTS_KEPT, Checkpoint, DIGEST_EVERY_ENTRIES},
    published::{Board, Published, Reading},
};
use crate::types::Payload;

/// Hears what came of entries, in order, on the applier's thread, after it was published. It must
/// not wait for anything.
pub type Listener = Box<dyn FnMut(Told<'_>) + Send>;

/// What a [`Listener`] hears.
#[derive(Clone, Copy, Debug)]
pub enum Told<'a> {
    /// An entry was applied. Entries without a batch have no outcomes.
    Applied(&'a Applied),
    /// A snapshot took the machine's place. Of entries that it covers no outcomes are told; up to
    /// these sequences everything of an origin came back.
    Installed { applied: Option<LogPosition>, origins: &'a [(Origin, Sequence)] },
    /// An entry could not be applied, and none will be.
    Stopped(&'a Stopped),
}

/// An entry, as far as a machine cares.
#[derive(Clone, Debug)]
pub(super) struct Committed {
    pub(super) position: LogPosition,
    pub(super) content: Content,
}

#[derive(Clone, Debug)]
pub(super) enum Content {
    Blank,
    Batch(Payload),
    Membership(Membership),
}

/// A snapshot is due when the log has grown by this since the last one.
const SNAPSHOT_LOG_BYTES_MIN: u64 = 64 << 20;

/// Owns the machine. Time does not pass here, and nothing waits.
pub(super) struct Owner {
    machine: Machine,
    board: Board,
    listener: Listener,
    /// Bytes of entries applied since the last snapshot.
    log_bytes: u64,
    snapshot_bytes: u64,
    /// True when applying panicked: what the machine holds may be half of something.
    torn: bool,
}

impl Owner {
    /// `snapshot_bytes` is the size of the snapshot that `machine` comes from, or 0.
    pub(super) fn new(
        machine: Machine,
        snapshot_bytes: u64,
        listener: Listener,
    ) -> (Self, Reading) {
        let (board, reading) = Board::new(Published::of(&machine));
        let (log_bytes, torn) = (0, false);
        (Self { machine, board, listener, log_bytes, snapshot_bytes, torn }, reading)
    }

    /// Applies an entry, publishes, and tells. Once one could not be applied, none is.
    pub(super) fn apply(&mut self, entry: Committed) {
        if self.board.current().stopped.is_some() {
            return;
        }
        let position = entry.position;
        let guarded = catch_unwind(AssertUnwindSafe(|| {
            let told = self.carry_out(entry)?;
            self.publish(&told);
            (self.listener)(Told::Applied(&told));
            Ok(())
        }));
        match guarded {
            Ok(Ok(())) => {}
            Ok(Err(cause)) => self.stop(position, cause),
            Err(panic) => {
                self.torn = true;
                self.stop(position, StopCause::Panicked { message: message(&*panic) });
            }
        }
    }

    /// Copies the machine. `None` when that may be half of something.
    pub(super) fn freeze(&self) -> Option<(FrozenMachine, u64)> {
        (!self.torn).then(|| (self.machine.freeze(), self.log_bytes))
    }

    /// A snapshot was stored that covers all but the log's last bytes.
    pub(super) fn stored(&mut self, snapshot_bytes: u64, log_bytes_covered: u64) {
        self.snapshot_bytes = snapshot_bytes;
        self.log_bytes = self.log_bytes.saturating_sub(log_bytes_covered);
    }

    /// True when the log has grown enough since the last snapshot.
    pub(super) fn snapshot_is_due(&self) -> bool {
        SNAPSHOT_LOG_BYTES_MIN.max(self.snapshot_bytes / 2) < self.log_bytes
    }

    /// Goes on with another machine, restored from a snapshot of so many bytes.
    pub(super) fn install(&mut self, machine: Machine, snapshot_bytes: u64) {
        let before = std::mem::replace(&mut self.machine, machine);
        (self.log_bytes, self.snapshot_bytes, self.torn) = (0, snapshot_bytes, false);
        self.board.replace(Published::of(&self.machine));
        let origins: Vec<(Origin, Sequence)> = self.machine.origins().collect();
        let applied = self.machine.applied();
        (self.listener)(Told::Installed { applied, origins: &origins });
        // Its memory is freed when the last reader is done with it.
        drop(before);
    }

    pub(super) fn digest(&self) -> (Option<LogPosition>, MachineDigest) {
        (self.machine.applied(), self.machine.digest())
    }

    fn carry_out(&mut self, entry: Committed) -> Result<Applied, StopCause> {
        self.board.release(&mut self.machine);
        let Committed { position, content } = entry;
        match content {
            Content::Blank => self.machine.pass(position)?,
            Content::Membership(membership) => {
                self.machine.apply_membership(position, membership)?;
            }
            Content::Batch(Payload(bytes)) => {
                let applied = self.machine.apply_bytes(position, &bytes)?;
                self.log_bytes += bytes.len() as u64;
                return Ok(applied);
            }
        }
        Ok(Applied { position, time: self.machine.time(), outcomes: Vec::new() })
    }

    fn publish(&mut self, told: &Applied) {
        let mut next = self.board.current().after(&self.machine, told);
        if told.position.index.is_multiple_of(DIGEST_EVERY_ENTRIES) {
            let digest = self.machine.digest();
            let last = Checkpoint { position: told.position, digest };
            let dropped = (next.checkpoints.len() + 1).saturating_sub(CHECKPOINTS_KEPT);
            let kept = next.checkpoints.iter().skip(dropped).copied();
            next.checkpoints = kept.chain([last]).collect();
        }
        self.board.publish(next);
    }

    fn stop(&mut self, position: LogPosition, cause: StopCause) {
        let stopped = Arc::new(Stopped { position, cause });
        tracing::error!(
            at = %stopped.position,
            cause = error_chain(&stopped.cause),
            remedy = stopped.cause.remedy(),
            "this replica stopped applying the log; it picks on with what it has"
        );
        let mut next = Published::clone(&self.board.current());
        next.stopped = Some(Arc::clone(&stopped));
        self.board.publish(next);
        let listener = &mut self.listener;
        let told = catch_unwind(AssertUnwindSafe(|| listener(Told::Stopped(&stopped))));
        if told.is_err() {
            tracing::error!("who listens to the applier panicked");
        }
    }
}

/// What a panic said.
fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("it said nothing").to_owned()
}

fn error_chain(error: &dyn std::error::Error) -> String {
    let sources = std::iter::successors(error.source(), |&source| source.source());
    sources.fold(error.to_string(), |text, source| format!("{text}: {source}"))
}
