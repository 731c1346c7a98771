//! Records become an index: blocks as they come, holders when all that follows has come.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
};

use super::{
    super::{
        FORMAT, MAGIC, Record,
        wire::{Fault, Reader},
    },
    RecordError,
};
use crate::{
    BlockHash, CHAIN_BLOCKS_MAX, Digest, ENDPOINTS_MAX, Endpoint, HashParams, HashVersion,
    Incarnation, ORIGINS_MAX, Origin, Parameters, Sequence, Stamp,
    index::{
        Index, SlotState,
        store::{Holder, Place, RUN_BLOCKS_MAX},
        view::RunId,
    },
};

/// Blocks looked up at once.
const BATCH: usize = 32;

/// An index as far as records have told.
#[derive(Debug)]
pub(super) struct Build {
    pub(super) index: Index,
    youngest: Stamp,
    /// The youngest stamp that came yet.
    youngest_met: Stamp,
    /// The slot of each endpoint is its number.
    endpoints: Vec<Endpoint>,
    /// From the root to the stretch whose successors come next.
    open: Vec<Stretch>,
    /// The name of the last root.
    last_root: Option<BlockHash>,
    /// The kind of the last record: kinds come in order.
    pub(super) last: Record,
    last_origin: Option<Origin>,
    last_pending: Option<(u32, BlockHash)>,
}

#[derive(Debug)]
struct Stretch {
    runs: Vec<RunId>,
    /// Leaves in it, the first first: (blocks of the stretch before its end, slot, stamp).
    leaves: Vec<(u32, u32, Stamp)>,
    /// Stretches still to come, and the name that they must come after.
    missing: u64,
    last_child: Option<BlockHash>,
    /// How many of its successors each slot holds.
    below: BTreeMap<u32, u32>,
    depth: usize,
}

impl Build {
    pub(super) fn from_head(reader: &mut Reader<'_>) -> Result<Self, RecordError> {
        let magic = reader.fault("this is no snapshot of an index");
        if reader.bytes()? != MAGIC {
            return Err(magic.into());
        }
        let format = u16::from_le_bytes(reader.bytes()?);
        if format != FORMAT {
            return Err(RecordError::Format(format));
        }
        let version = reader.fault("the hash version is not known");
        let version =
            HashVersion::from_number(u16::from_le_bytes(reader.bytes()?)).ok_or(version)?;
        let params = reader.fault("the block size is not legal");
        let block_bytes = u32::from_le_bytes(reader.bytes()?);
        let hash = HashParams::new(reader.bytes()?, block_bytes, version).map_err(|_| params)?;
        let memberships_max = reader.word()?;
        let youngest = Stamp(reader.word()?);
        Ok(Self {
            index: Index::new(Parameters { hash, memberships_max }),
            youngest,
            youngest_met: Stamp::default(),
            endpoints: Vec::new(),
            open: Vec::new(),
            last_root: None,
            last: Record::Head,
            last_origin: None,
            last_pending: None,
        })
    }

    pub(super) fn endpoint(&mut self, reader: &mut Reader<'_>) -> Result<(), Fault> {
        let fault = reader.fault("the address is of no known family");
        let ip = match reader.byte()? {
            4 => Ipv4Addr::from(reader.bytes::<4>()?).into(),
            6 => Ipv6Addr::from(reader.bytes::<16>()?).into(),
            _ => return Err(fault),
        };
        let port = u16::from_le_bytes(reader.bytes()?);
        let incarnation = Incarnation(reader.word()?);
        let capacity_blocks = u32::from_le_bytes(reader.bytes()?);
        let endpoint = Endpoint::new(SocketAddr::new(ip, port), incarnation);
        let last = self.endpoints.last();
        if last.is_some_and(|last| endpoint.address() <= last.address()) {
            return Err(reader.fault("endpoints are not in order"));
        }
        if self.endpoints.len() == ENDPOINTS_MAX {
            return Err(reader.fault("there are too many endpoints"));
        }
        self.endpoints.push(endpoint);
        self.index.add(SlotState::new(endpoint, capacity_blocks));
        Ok(())
    }

    pub(super) fn origin(&mut self, reader: &mut Reader<'_>) -> Result<(), Fault> {
        let origin = Origin { replica: reader.word()?, start: reader.word()? };
        let sequence = Sequence(reader.word()?);
        if self.last_origin.is_some_and(|last| origin <= last) {
            return Err(reader.fault("origins are not in order"));
        }
        if self.index.origins.len() == ORIGINS_MAX {
            return Err(reader.fault("there are too many origins"));
        }
        self.last_origin = Some(origin);
        self.index.origins.insert(origin, sequence);
        Ok(())
    }

    pub(super) fn stretch(&mut self, reader: &mut Reader<'_>) -> Result<(), Fault> {
        self.close_full(reader)?;
        let before = self.open.last().map_or(0, |above| above.depth);
        let too_long = "the chain is longer than a chain may be";
        let count = reader.length(CHAIN_BLOCKS_MAX - before, too_long)?;
        let mut names = Vec::with_capacity(count);
        for _ in 0..count {
            let zero = reader.fault("a block has no name");
            names.push(BlockHash::new(reader.word()?).ok_or(zero)?);
        }
        let &first = names.first().ok_or(reader.fault("a stretch has no block"))?;
        let last = match self.open.last_mut() {
            Some(above) => {
                above.missing -= 1;
                &mut above.last_child
            }
            None => &mut self.last_root,
        };
        if last.replace(first).is_some_and(|last| first <= last) {
            return Err(reader.fault("stretches are not in order"));
        }
        let runs = self.add_runs(&names, reader)?;
        let leaves = self.leaves(count, reader)?;
        let missing = reader.number()?;
        if missing == 1 {
            return Err(reader.fault("a stretch goes on where no branch is"));
        }
        let depth = before + count;
        self.open.push(Stretch {
            runs,
            leaves,
            missing,
            last_child: None,
            below: BTreeMap::new(),
            depth,
        });
        Ok(())
    }

    fn add_runs(&mut self, names: &[BlockHash], reader: &Reader<'_>) -> Result<Vec<RunId>, Fault> {
        let store = &mut self.index.store;
        let mut parent = self.open.last().and_then(|above| above.runs.last()).copied().unwrap_or(0);
        let mut runs = Vec::new();
        for part in names.chunks(RUN_BLOCKS_MAX as usize) {
            let run = store.new_run(parent);
            for batch in part.chunks(BATCH) {
                let found: [_; BATCH] =
                    store.find_batch(std::array::from_fn(|at| batch.get(at).copied()));
                if found.iter().any(Option::is_some) {
                    return Err(reader.fault("a block comes twice"));
                }
            }
            if self.index.scratch.has_repeats(part) {
                return Err(reader.fault("a block comes twice"));
            }
            store.append(run, part);
            runs.push(run);
            parent = run;
        }
        Ok(runs)
    }

    fn leaves(
        &mut self,
        blocks: usize,
        reader: &mut Reader<'_>,
    ) -> Result<Vec<(u32, u32, Stamp)>, Fault> {
        let count = reader.length(self.endpoints.len(), "more leaves than endpoints")?;
        let mut leaves: Vec<(u32, u32, Stamp)> = Vec::with_capacity(count);
        for _ in 0..count {
            let beyond = reader.length(blocks - 1, "a leaf is before its stretch")?;
            let offset = u32::try_from(blocks - beyond).unwrap_or(u32::MAX);
            let slot = self.slot(reader)?;
            let stamp = self.stamp(reader)?;
            if leaves.last().is_some_and(|&(at, of, _)| (offset, slot) <= (at, of)) {
                return Err(reader.fault("leaves are not in order"));
            }
            leaves.push((offset, slot, stamp));
        }
        Ok(leaves)
    }

    fn slot(&self, reader: &mut Reader<'_>) -> Result<u32, Fault> {
        let most = self.endpoints.len() as u64;
        let fault = reader.fault("no endpoint has this number");
        let slot = reader.number()?;
        if most <= slot { Err(fault) } else { u32::try_from(slot).map_err(|_| fault) }
    }

    fn stamp(&mut self, reader: &mut Reader<'_>) -> Result<Stamp, Fault> {
        let age = reader.number_up_to(self.youngest.0, "a stamp is before the first")?;
        let stamp = Stamp(self.youngest.0 - age);
        self.youngest_met = self.youngest_met.max(stamp);
        Ok(stamp)
    }

    pub(super) fn end(&self, reader: &mut Reader<'_>) -> Result<Digest, Fault> {
        if self.youngest_met != self.youngest {
            return Err(reader.fault("no block has the youngest stamp"));
        }
        Ok(Digest(reader.word()?))
    }

    /// Closes the stretches of which all successors have come.
    fn close_full(&mut self, reader: &Reader<'_>) -> Result<(), Fault> {
        while self.open.last().is_some_and(|stretch| stretch.missing == 0) {
            self.close(self.open.len() - 1, reader)?;
        }
        Ok(())
    }

    /// Closes all stretches but the first `keep`: now their holders are known.
    pub(super) fn close(&mut self, keep: usize, reader: &Reader<'_>) -> Result<(), Fault> {
        while keep < self.open.len()
            && let Some(stretch) = self.open.pop()
        {
            if stretch.missing != 0 {
                return Err(reader.fault("a stretch is missing"));
            }
            let held = self.close_stretch(stretch, reader)?;
            if let Some(above) = self.open.last_mut() {
                for slot in held {
                    *above.below.entry(slot).or_insert(0) += 1;
                }
            }
        }
        Ok(())
    }

    /// Enters the holders of a stretch, the last run's first; answers who they are.
    fn close_stretch(&mut self, stretch: Stretch, reader: &Reader<'_>) -> Result<Vec<u32>, Fault> {
        let Stretch { runs, mut leaves, mut below, .. } = stretch;
        let mut before = u32::try_from(runs.len() - 1).unwrap_or(0) * RUN_BLOCKS_MAX;
        for &run in runs.iter().rev() {
            let len = self.index.store.shape(run).len;
            let mut holders: Vec<_> = below
                .iter()
                .map(|(&slot, &children)| (Holder { slot, len }, Place::Inner(children)))
                .collect();
            let mut stamps = Vec::new();
            while let Some(&(offset, slot, stamp)) = leaves.last()
                && before < offset
            {
                leaves.pop();
                let len = offset - before;
                if below.contains_key(&slot)
                    || stamps.iter().any(|&(of, _): &(u32, Stamp)| of == slot)
                {
                    return Err(reader.fault("an endpoint has a leaf before a leaf"));
                }
                holders.push((Holder { slot, len }, Place::Pinned));
                stamps.push((slot, stamp));
            }
            if !holders.iter().any(|(holder, _)| holder.len == len) {
                return Err(reader.fault("nobody holds the end of a stretch"));
            }
            self.index.enter_holders(run, &holders, &stamps);
            below = holders.iter().map(|(holder, _)| (holder.slot, 1)).collect();
            before = before.saturating_sub(RUN_BLOCKS_MAX);
        }
        Ok(below.into_keys().collect())
    }

    pub(super) fn pending(&mut self, reader: &mut Reader<'_>) -> Result<(), Fault> {
        let slot = self.slot(reader)?;
        let zero = reader.fault("a block has no name");
        let block = BlockHash::new(reader.word()?).ok_or(zero)?;
        let stamp = self.stamp(reader)?;
        if self.last_pending.is_some_and(|last| (slot, block) <= last) {
            return Err(reader.fault("pending stamps are not in order"));
        }
        if !self.index.holds_within(slot, block) {
            return Err(reader.fault("a pending stamp is of no inner block of the endpoint"));
        }
        self.last_pending = Some((slot, block));
        self.index.slot_and_leaves(slot).0.pend(block, stamp);
        Ok(())
    }
}

impl Index {
    /// Enters who holds a run that was read, and their leaves in it.
    fn enter_holders(&mut self, run: RunId, holders: &[(Holder, Place)], stamps: &[(u32, Stamp)]) {
        self.store.put_holders(run, holders);
        for &(Holder { slot, len }, _) in holders {
            self.slot_and_leaves(slot).0.memberships += u64::from(len);
            self.memberships += u64::from(len);
            self.note_if_over(slot);
        }
        for &(slot, stamp) in stamps {
            let name = self.leaf(slot, run);
            let (state, mut leaves) = self.slot_and_leaves(slot);
            state.swap_mark(None, Some((name, stamp)));
            state.heap.push(stamp, run, &mut leaves);
        }
    }

    /// True when the slot holds this block and one after it.
    fn holds_within(&self, slot: u32, block: BlockHash) -> bool {
        let Some(position) = self.store.find(block) else { return false };
        let (run, offset) = (self.store.run_at(position), self.store.offset_of(position));
        let Some(index) = self.store.find_holder(run, slot) else { return false };
        let (holder, place) = self.store.holder(run, index);
        offset < holder.len || (offset == holder.len && matches!(place, Place::Inner(_)))
    }
}
