//! An index that shrank gives memory back, a bounded number of steps for each command.

use super::{Index, store::Step};

/// Work of one command on packing: a look at an item counts one, what moves counts more. Tests
/// have it done in smaller parts, so that more happens between them.
const PACK_WORK: usize = if cfg!(any(loom, feature = "tiny-chunks")) { 1 } else { 512 };

impl Index {
    /// Moves what lies scattered together, for a while.
    pub(super) fn pack(&mut self) {
        let mut work = 0;
        while work < PACK_WORK {
            work += match self.store.pack_step() {
                Step::Nothing => return,
                Step::Did(work) => work,
                Step::MoveRun(run) => {
                    let to = self.store.copy_run(run);
                    self.rename_leaves(run, to);
                    self.store.leave_run(run, to)
                }
            };
        }
    }
}
