//! An index as it was at one moment, and its encoding.

use std::net::SocketAddr;

use super::{
    super::{
        Index,
        store::Holder,
        view::{CELL_BLOCKS, CellId, RunId},
    },
    CHUNK_BYTES, FORMAT, MAGIC, Record, wire,
};
use crate::{BlockHash, Digest, Endpoint, Origin, Parameters, Sequence, Stamp};

/// A copy of all that an index stores, from one moment between two commands.
///
/// It costs about as much memory as the index while it lives. Send it to another thread and take
/// its [`Snapshot::chunks`] there.
#[derive(Debug)]
pub struct Snapshot {
    parameters: Parameters,
    digest: Digest,
    endpoints: Vec<FrozenEndpoint>,
    origins: Vec<(Origin, Sequence)>,
    cells: Vec<FrozenCell>,
    runs: Vec<FrozenRun>,
    lists: Vec<u32>,
}

#[derive(Debug)]
struct FrozenEndpoint {
    endpoint: Endpoint,
    slot: u32,
    capacity_blocks: u32,
    leaves: Vec<(Stamp, RunId)>,
    pending: Vec<(BlockHash, Stamp)>,
}

#[derive(Clone, Copy, Debug)]
pub(in crate::index) struct FrozenCell {
    pub(in crate::index) run: RunId,
    pub(in crate::index) prev: CellId,
    pub(in crate::index) blocks: [u64; CELL_BLOCKS],
}

#[derive(Clone, Copy, Debug)]
pub(in crate::index) struct FrozenRun {
    pub(in crate::index) parent: RunId,
    pub(in crate::index) len: u32,
    pub(in crate::index) count: usize,
    /// The holder, or where the list starts.
    pub(in crate::index) holders: u32,
    pub(in crate::index) tail: CellId,
}

impl Snapshot {
    pub(super) fn of(index: &Index) -> Self {
        let (cells, runs, lists) = index.store.freeze();
        let endpoints = index.live.values().map(|&slot| {
            let state = index.slot_state(slot);
            FrozenEndpoint {
                endpoint: state.endpoint,
                slot,
                capacity_blocks: state.capacity_blocks,
                leaves: state.heap.leaves().collect(),
                pending: state.pending.iter().map(|(&block, &stamp)| (block, stamp)).collect(),
            }
        });
        Self {
            parameters: index.parameters.clone(),
            digest: index.digest(),
            endpoints: endpoints.collect(),
            origins: index.origins.iter().map(|(&origin, &sequence)| (origin, sequence)).collect(),
            cells,
            runs,
            lists,
        }
    }

    /// The digest of the index that this was taken of.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The snapshot's bytes, in chunks of about 256 KiB. Concatenated or not, they restore.
    pub fn chunks(self) -> SnapshotChunks {
        let youngest = self.youngest();
        let tree = Tree::of(&self);
        let open = vec![tree.roots()];
        let mut chunks = SnapshotChunks {
            snapshot: self,
            tree,
            youngest,
            open,
            payload: Vec::new(),
            next: 0,
            names: Vec::new(),
            stage: Stage::Blocks,
        };
        chunks.put_head();
        chunks
    }

    fn youngest(&self) -> Stamp {
        let stamps = self.endpoints.iter().flat_map(|endpoint| {
            let leaves = endpoint.leaves.iter().map(|&(stamp, _)| stamp);
            leaves.chain(endpoint.pending.iter().map(|&(_, stamp)| stamp))
        });
        stamps.max().unwrap_or_default()
    }

    fn holders<'all>(&'all self, run: &'all FrozenRun) -> impl Iterator<Item = Holder> + 'all {
        let list = match run.count {
            0 => &[],
            1 => std::slice::from_ref(&run.holders),
            more => {
                let first = run.holders as usize;
                self.lists.get(first..first + more).unwrap_or_default()
            }
        };
        list.iter().map(|&word| Holder::unpack(word))
    }

    fn cell(&self, cell: CellId) -> &FrozenCell {
        self.cells.get(cell as usize).expect("cells link to cells")
    }

    fn run(&self, run: RunId) -> &FrozenRun {
        self.runs.get(run as usize).expect("cells and runs link to runs")
    }

    /// Appends the names of a run's first `len` blocks.
    fn names(&self, run: RunId, len: u32, names: &mut Vec<u64>) {
        let start = names.len();
        let FrozenRun { tail, len: all, .. } = *self.run(run);
        let mut cell = tail;
        while names.len() - start < all as usize {
            let FrozenCell { prev, blocks, .. } = self.cell(cell);
            names.extend(blocks.iter().rev().filter(|&&block| block != 0));
            cell = *prev;
        }
        if let Some(added) = names.get_mut(start..) {
            added.reverse();
        }
        names.truncate(start + len as usize);
    }
}

/// How runs hang together, leaving out what only endpoints that are gone hold.
#[derive(Debug)]
struct Tree {
    /// (parent, first name, run), sorted.
    children: Vec<(RunId, u64, RunId)>,
    /// (run, blocks of the run before the leaf's end, endpoint's number, stamp), sorted.
    leaves: Vec<(RunId, u32, u32, Stamp)>,
    /// For each run, the blocks that an endpoint of the pool holds.
    held: Vec<u32>,
}

/// Runs that follow the same run, by first name; an index range of [`Tree::children`].
type Siblings = std::ops::Range<usize>;

impl Tree {
    fn of(snapshot: &Snapshot) -> Self {
        let slots = snapshot.endpoints.iter().map(|endpoint| endpoint.slot as usize + 1).max();
        let mut numbers = vec![None; slots.unwrap_or(0)];
        for (number, endpoint) in (0u32..).zip(&snapshot.endpoints) {
            if let Some(slot) = numbers.get_mut(endpoint.slot as usize) {
                *slot = Some(number);
            }
        }
        let is_live = |slot: u32| numbers.get(slot as usize).is_some_and(Option::is_some);
        let held: Vec<u32> = snapshot
            .runs
            .iter()
            .map(|run| {
                let live = snapshot.holders(run).filter(|holder| is_live(holder.slot));
                live.map(|holder| holder.len).max().unwrap_or(0)
            })
            .collect();
        let is_held = |run: RunId| held.get(run as usize).is_some_and(|&held| 0 < held);

        let mut children = Vec::new();
        for cell in &snapshot.cells {
            let first =
                is_held(cell.run) && (cell.prev == 0 || snapshot.cell(cell.prev).run != cell.run);
            let name = cell.blocks.iter().find(|&&block| block != 0).filter(|_| first);
            if let Some(&name) = name {
                children.push((snapshot.run(cell.run).parent, name, cell.run));
            }
        }
        children.sort_unstable();

        let mut leaves = Vec::new();
        for (number, endpoint) in (0u32..).zip(&snapshot.endpoints) {
            for &(stamp, run) in &endpoint.leaves {
                let mut holders = snapshot.holders(snapshot.run(run));
                let share = holders.find(|holder| holder.slot == endpoint.slot);
                leaves.push((run, share.map_or(0, |share| share.len), number, stamp));
            }
        }
        leaves.sort_unstable();
        Self { children, leaves, held }
    }

    fn roots(&self) -> Siblings {
        self.after(0)
    }

    fn after(&self, run: RunId) -> Siblings {
        let start = self.children.partition_point(|&(parent, ..)| parent < run);
        let end = self.children.partition_point(|&(parent, ..)| parent <= run);
        start..end
    }

    fn leaves(&self, run: RunId) -> &[(RunId, u32, u32, Stamp)] {
        let start = self.leaves.partition_point(|&(of, ..)| of < run);
        let end = self.leaves.partition_point(|&(of, ..)| of <= run);
        self.leaves.get(start..end).unwrap_or_default()
    }
}

/// The chunks of a [`Snapshot`], one after another.
#[derive(Debug)]
pub struct SnapshotChunks {
    snapshot: Snapshot,
    tree: Tree,
    youngest: Stamp,
    /// Stretches whose turn will come, level by level.
    open: Vec<Siblings>,
    payload: Vec<u8>,
    next: u32,
    names: Vec<u64>,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Blocks,
    /// Pending stamps from this one of this endpoint on.
    Pending {
        endpoint: usize,
        at: usize,
    },
    Done,
}

impl Iterator for SnapshotChunks {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        if self.stage == Stage::Done {
            return None;
        }
        while self.payload.len() < CHUNK_BYTES && self.stage != Stage::Done {
            match self.stage {
                Stage::Blocks => self.put_stretch(),
                Stage::Pending { endpoint, at } => self.put_pending(endpoint, at),
                Stage::Done => {}
            }
        }
        let chunk = wire::frame(self.next, &self.payload);
        self.payload.clear();
        self.next += 1;
        Some(chunk)
    }
}

impl SnapshotChunks {
    fn put_head(&mut self) {
        let Self { snapshot, payload, youngest, .. } = self;
        let Parameters { hash, memberships_max } = &snapshot.parameters;
        payload.push(Record::Head as u8);
        payload.extend(MAGIC);
        payload.extend(FORMAT.to_le_bytes());
        payload.extend(hash.version().number().to_le_bytes());
        payload.extend(hash.block_bytes().to_le_bytes());
        payload.extend(hash.key());
        payload.extend(memberships_max.to_le_bytes());
        payload.extend(youngest.0.to_le_bytes());
        for FrozenEndpoint { endpoint, capacity_blocks, .. } in &snapshot.endpoints {
            payload.push(Record::Endpoint as u8);
            match endpoint.address() {
                SocketAddr::V4(v4) => {
                    payload.push(4);
                    payload.extend(v4.ip().octets());
                }
                SocketAddr::V6(v6) => {
                    payload.push(6);
                    payload.extend(v6.ip().octets());
                }
            }
            payload.extend(endpoint.address().port().to_le_bytes());
            payload.extend(endpoint.incarnation().0.to_le_bytes());
            payload.extend(capacity_blocks.to_le_bytes());
        }
        for (origin, sequence) in &snapshot.origins {
            payload.push(Record::Origin as u8);
            for word in [origin.replica, origin.start, sequence.0] {
                payload.extend(word.to_le_bytes());
            }
        }
    }

    /// The next stretch, root first: runs up to a branch, or to the end.
    fn put_stretch(&mut self) {
        while self.open.pop_if(|siblings| siblings.start == siblings.end).is_some() {}
        let next = self.open.last_mut().and_then(Iterator::next);
        let Some(&(_, _, first)) = next.and_then(|at| self.tree.children.get(at)) else {
            self.stage = Stage::Pending { endpoint: 0, at: 0 };
            return;
        };
        self.names.clear();
        let mut leaves = Vec::new();
        let mut run = first;
        let after = loop {
            let before = u32::try_from(self.names.len()).expect("a chain is short");
            for &(_, offset, number, stamp) in self.tree.leaves(run) {
                leaves.push((before + offset, number, stamp));
            }
            let held = self.tree.held.get(run as usize).copied().unwrap_or(0);
            self.snapshot.names(run, held, &mut self.names);
            let after = self.tree.after(run);
            match self.tree.children.get(after.clone()) {
                Some(&[(_, _, only)]) => run = only,
                Some(_) | None => break after,
            }
        };
        let payload = &mut self.payload;
        payload.push(Record::Stretch as u8);
        wire::put_number(payload, self.names.len() as u64);
        payload.extend(self.names.iter().flat_map(|name| name.to_le_bytes()));
        wire::put_number(payload, leaves.len() as u64);
        for (offset, number, stamp) in leaves {
            wire::put_number(payload, self.names.len() as u64 - u64::from(offset));
            wire::put_number(payload, number.into());
            wire::put_number(payload, self.youngest.0 - stamp.0);
        }
        wire::put_number(payload, after.len() as u64);
        self.open.push(after);
    }

    fn put_pending(&mut self, endpoint: usize, at: usize) {
        let Some(state) = self.snapshot.endpoints.get(endpoint) else {
            self.payload.push(Record::End as u8);
            self.payload.extend(self.snapshot.digest.0.to_le_bytes());
            self.stage = Stage::Done;
            return;
        };
        let Some((block, stamp)) = state.pending.get(at) else {
            self.stage = Stage::Pending { endpoint: endpoint + 1, at: 0 };
            return;
        };
        self.payload.push(Record::Pending as u8);
        wire::put_number(&mut self.payload, endpoint as u64);
        self.payload.extend(block.get().to_le_bytes());
        wire::put_number(&mut self.payload, self.youngest.0 - stamp.0);
        self.stage = Stage::Pending { endpoint, at: at + 1 };
    }
}
