//! gRPC messages cut from the data of one stream.

use bytes::{Buf as _, Bytes, BytesMut};

use super::fault::Fault;

/// gRPC's usual bound on a message.
const MESSAGE_BYTES_MAX: usize = 4 << 20;

/// What has arrived of a stream and is not a whole message yet: at most one message, and what came with its end.
#[derive(Debug, Default)]
pub(super) struct Messages {
    arrived: Bytes,
    /// Parts of a message that came in several.
    gathered: BytesMut,
}

impl Messages {
    /// Flag and length before each message.
    pub(super) const PREFIX_BYTES: usize = 5;

    /// Takes data. [`Self::next`] has to be called until it has nothing, before more is taken.
    pub(super) fn push(&mut self, data: Bytes) {
        if self.gathered.is_empty() && self.arrived.is_empty() {
            self.arrived = data;
            return;
        }
        self.gathered.extend_from_slice(&self.arrived);
        self.gathered.extend_from_slice(&data);
        self.arrived = Bytes::new();
    }

    /// The next whole message, without its prefix.
    pub(super) fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        if self.gathered.is_empty() {
            let Some(length) = whole(&self.arrived)? else { return Ok(None) };
            self.arrived.advance(Self::PREFIX_BYTES);
            return Ok(Some(self.arrived.split_to(length)));
        }
        let Some(length) = whole(&self.gathered)? else { return Ok(None) };
        self.gathered.advance(Self::PREFIX_BYTES);
        Ok(Some(self.gathered.split_to(length).freeze()))
    }

    /// True between two messages.
    pub(super) fn is_empty(&self) -> bool {
        self.arrived.is_empty() && self.gathered.is_empty()
    }
}

/// The length of the message at the front, if it is all there.
fn whole(bytes: &[u8]) -> Result<Option<usize>, Fault> {
    let Some(&[flag, l0, l1, l2, l3]) = bytes.first_chunk::<{ Messages::PREFIX_BYTES }>() else {
        return Ok(None);
    };
    let length = usize::try_from(u32::from_be_bytes([l0, l1, l2, l3])).unwrap_or(usize::MAX);
    if flag != 0 || MESSAGE_BYTES_MAX < length {
        let cause =
            if flag == 0 { format!("{length} bytes long") } else { "compressed".to_owned() };
        return Err(Fault::Unreadable { cause });
    }
    Ok((Messages::PREFIX_BYTES + length <= bytes.len()).then_some(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0];
        bytes.extend(u32::try_from(body.len()).unwrap().to_be_bytes());
        bytes.extend(body);
        bytes
    }

    #[test]
    fn messages_are_the_same_however_the_data_is_cut() {
        let wire = [framed(b"one"), framed(b""), framed(&[7; 300]), framed(b"four")].concat();
        for size in 1..wire.len() {
            let mut messages = Messages::default();
            let mut cut = Vec::new();
            for part in wire.chunks(size) {
                messages.push(Bytes::copy_from_slice(part));
                while let Some(message) = messages.next().unwrap() {
                    cut.push(message);
                }
            }
            assert_eq!(cut, [b"one".as_slice(), b"", &[7; 300], b"four"], "cut by {size}");
            assert!(messages.is_empty());
        }
    }

    #[test]
    fn compressed_and_endless_messages_are_refused() {
        for prefix in [[1, 0, 0, 0, 1], [0, 255, 0, 0, 0]] {
            let mut messages = Messages::default();
            messages.push(Bytes::copy_from_slice(&prefix));
            assert!(matches!(messages.next(), Err(Fault::Unreadable { .. })));
        }
    }
}
