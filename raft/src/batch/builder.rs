//! Merges items into one batch, up to its bounds.

use bincode::Options;
use convoy_prefix_index::Stamp;

use super::{
    BATCH_BYTES_MAX, BATCH_ITEMS_MAX, Batch, ITEM_BYTES_MAX, Item,
    envelope::{BODY_HEAD_BYTES, HEAD_BYTES},
    wire::ItemRecord,
};

/// A batch that is being filled.
#[derive(Debug, Default)]
pub struct BatchBuilder {
    /// With the logical time at which each came.
    items: Vec<(Item, Stamp)>,
    bytes: usize,
}

/// Why an item was not taken; it comes back.
#[derive(Debug, thiserror::Error)]
pub enum ItemRefused {
    #[error("the batch is full")]
    Full(Box<Item>),
    #[error("an item of {bytes} bytes; it can have {ITEM_BYTES_MAX}, so cut it")]
    TooLarge { item: Box<Item>, bytes: u64 },
}

impl BatchBuilder {
    /// Takes an item that comes at `now`, in logical time, or gives it back.
    pub fn push(&mut self, item: Item, now: Stamp) -> Result<(), ItemRefused> {
        let bytes = item.encoded_bytes();
        let limit = ITEM_BYTES_MAX as u64;
        if limit < bytes {
            return Err(ItemRefused::TooLarge { item: Box::new(item), bytes });
        }
        let after = self.encoded_bytes() + usize::try_from(bytes).unwrap_or(usize::MAX);
        if BATCH_BYTES_MAX < after || self.items.len() == BATCH_ITEMS_MAX {
            return Err(ItemRefused::Full(Box::new(item)));
        }
        self.bytes = after - HEAD_BYTES - BODY_HEAD_BYTES;
        self.items.push((item, now));
        Ok(())
    }

    /// Closes the batch at `stamp`: sightings have aged since they came.
    pub fn finish(&mut self, stamp: Stamp) -> Batch {
        self.bytes = 0;
        let items = std::mem::take(&mut self.items).into_iter().map(|(mut item, came)| {
            if let Item::Sighted(sighted) = &mut item {
                let waited = u32::try_from(stamp.0.saturating_sub(came.0)).unwrap_or(u32::MAX);
                sighted.age_ms = sighted.age_ms.saturating_add(waited);
            }
            item
        });
        Batch { stamp, items: items.collect() }
    }

    /// How long the batch's encoding is so far.
    pub fn encoded_bytes(&self) -> usize {
        HEAD_BYTES + BODY_HEAD_BYTES + self.bytes
    }

    pub fn items(&self) -> usize {
        self.items.len()
    }

    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

impl Item {
    /// How much of a batch it takes.
    pub fn encoded_bytes(&self) -> u64 {
        bincode::DefaultOptions::new()
            .with_fixint_encoding()
            .serialized_size(&ItemRecord::of(self))
            .unwrap_or(u64::MAX)
    }
}
