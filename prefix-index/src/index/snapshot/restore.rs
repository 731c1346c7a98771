//! From the bytes of a snapshot to an index. Nothing in them is trusted.

mod build;

use build::Build;

use super::{
    super::Index,
    CHUNK_BYTES_MAX, FORMAT, Record,
    wire::{self, Fault, Reader},
};
use crate::Digest;

/// Why bytes are no snapshot, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// A chunk begins by saying how long it is; nothing of it is read.
    #[error("chunk {chunk}: its length of {bytes} bytes is more than a chunk has")]
    Length { chunk: u32, bytes: u32 },
    /// Bytes of the chunk were changed.
    #[error("chunk {chunk}: the checksum does not match")]
    Checksum { chunk: u32 },
    /// A chunk is missing, or comes again.
    #[error("chunk {chunk}: it says that it is number {found}")]
    Order { chunk: u32, found: u32 },
    /// Another version of this library wrote it.
    #[error("format {found} is not one that this version reads ({FORMAT})")]
    Format { found: u16 },
    /// The chunk is as it was written, and what it says is wrong. Reading stopped at byte `at` of
    /// what follows its frame.
    #[error("chunk {chunk}, byte {at}: {what}")]
    Content { chunk: u32, at: usize, what: &'static str },
    /// Bytes are missing at the end.
    #[error("chunk {chunk}: the snapshot ends within it or before it")]
    Truncated { chunk: u32 },
    /// Each part is legal, and the whole is another index than was written.
    #[error("the content has digest {:016x}, not {:016x} as the snapshot says", found.0, said.0)]
    Digest { found: Digest, said: Digest },
}

/// Takes a snapshot's bytes, in any pieces, and makes an index of them.
#[derive(Debug, Default)]
pub struct Restore {
    /// Bytes of a chunk that is not whole yet.
    partial: Vec<u8>,
    chunk: u32,
    build: Option<Build>,
    said: Option<Digest>,
}

impl Restore {
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<(), RestoreError> {
        while !bytes.is_empty() {
            let wanted = self.wanted()?;
            let (taken, rest) = bytes.split_at(bytes.len().min(wanted - self.partial.len()));
            self.partial.extend_from_slice(taken);
            bytes = rest;
            if self.partial.len() == self.wanted()? {
                let framed = std::mem::take(&mut self.partial);
                self.take_chunk(&framed)?;
                self.chunk += 1;
                self.partial = framed;
                self.partial.clear();
            }
        }
        Ok(())
    }

    /// The index, when all bytes were pushed.
    pub fn finish(self) -> Result<Index, RestoreError> {
        let Self { partial, chunk, build, said } = self;
        match (build, said) {
            (Some(build), Some(said)) if partial.is_empty() => {
                let found = build.index.digest();
                if found != said {
                    return Err(RestoreError::Digest { found, said });
                }
                build.index.publish_counts();
                Ok(build.index)
            }
            _ => Err(RestoreError::Truncated { chunk }),
        }
    }

    /// How long the chunk under way is, as far as it is known.
    fn wanted(&self) -> Result<usize, RestoreError> {
        let Some(&length) = self.partial.first_chunk() else {
            return Ok(wire::FRAME_HEAD_BYTES);
        };
        let bytes = u32::from_le_bytes(length);
        if CHUNK_BYTES_MAX < bytes as usize {
            return Err(RestoreError::Length { chunk: self.chunk, bytes });
        }
        Ok(wire::FRAME_HEAD_BYTES + bytes as usize)
    }

    fn take_chunk(&mut self, framed: &[u8]) -> Result<(), RestoreError> {
        let chunk = self.chunk;
        let (head, payload) =
            framed.split_at_checked(wire::FRAME_HEAD_BYTES).unwrap_or((framed, &[]));
        let mut head = Reader::new(head);
        let in_head = |_: Fault| RestoreError::Truncated { chunk };
        let _length: [u8; 4] = head.bytes().map_err(in_head)?;
        let found = u32::from_le_bytes(head.bytes().map_err(in_head)?);
        let checksum = head.word().map_err(in_head)?;
        if checksum != wire::checksum(found, payload) {
            return Err(RestoreError::Checksum { chunk });
        }
        if found != chunk {
            return Err(RestoreError::Order { chunk, found });
        }
        let mut reader = Reader::new(payload);
        while !reader.is_at_end() {
            self.take_record(&mut reader).map_err(|error| match error {
                RecordError::Fault(Fault { at, what }) => RestoreError::Content { chunk, at, what },
                RecordError::Format(found) => RestoreError::Format { found },
            })?;
        }
        Ok(())
    }

    fn take_record(&mut self, reader: &mut Reader<'_>) -> Result<(), RecordError> {
        let kind = reader.fault("no record begins like this");
        let kind = Record::from_byte(reader.byte()?).ok_or(kind)?;
        if self.said.is_some() {
            return Err(reader.fault("something follows the end").into());
        }
        let Some(build) = &mut self.build else {
            if kind != Record::Head {
                return Err(reader.fault("a snapshot begins with its head").into());
            }
            self.build = Some(Build::from_head(reader)?);
            return Ok(());
        };
        if (kind as u8) < build.last as u8 || kind == Record::Head {
            return Err(reader.fault("the record is out of order").into());
        }
        if kind > build.last && Record::Stretch < kind {
            build.close(0, reader)?;
        }
        build.last = kind;
        match kind {
            Record::Head => {}
            Record::Endpoint => build.endpoint(reader)?,
            Record::Origin => build.origin(reader)?,
            Record::Stretch => build.stretch(reader)?,
            Record::Pending => build.pending(reader)?,
            Record::End => self.said = Some(build.end(reader)?),
        }
        Ok(())
    }
}

enum RecordError {
    Fault(Fault),
    Format(u16),
}

impl From<Fault> for RecordError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl PartialOrd for Record {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        (*self as u8).partial_cmp(&(*other as u8))
    }
}
