//! What lies between the socket and TLS: bytes received and not yet handed over, and bytes
//! encrypted and not yet sent. Both are bounded, and neither allocates once it has its size.

use std::{
    io,
    ops::Range,
    pin::Pin,
    task::{Context, Poll, ready},
};

use rustls_server::TlsInputBuffer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A client's hello and a burst of small messages fit in this.
const RECEIVED_BYTES_FIRST: usize = 4 << 10;

/// A socket is asked for so much at once by a client that fills it. A record is at most a
/// quarter of it; a message of the handshake that does not fit is refused.
const RECEIVED_BYTES_MAX: usize = 64 << 10;

/// Bytes from the socket, in order: some that are done with, some that are decrypted and not yet
/// handed over, some that are encrypted, room.
pub(super) struct Received {
    buffer: Vec<u8>,
    decrypted: Range<usize>,
    encrypted: Range<usize>,
    over: bool,
}

impl Default for Received {
    fn default() -> Self {
        Self {
            buffer: vec![0; RECEIVED_BYTES_FIRST],
            decrypted: 0..0,
            encrypted: 0..0,
            over: false,
        }
    }
}

impl Received {
    /// True when nothing more will be received.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// Reads once from `socket`. All that was decrypted must have been handed over.
    pub(super) fn poll_receive(
        &mut self,
        socket: &mut (impl AsyncRead + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        debug_assert!(self.decrypted.is_empty(), "room is made where it lies");
        if 0 < self.encrypted.start {
            self.buffer.copy_within(self.encrypted.clone(), 0);
            self.encrypted = 0..self.encrypted.len();
        }
        let room = self.buffer.get_mut(self.encrypted.end..).unwrap_or_default();
        if room.is_empty() {
            let error = "a TLS message is larger than 64 KiB";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error)));
        }
        let mut read = ReadBuf::new(room);
        ready!(Pin::new(socket).poll_read(cx, &mut read))?;
        let count = read.filled().len();
        self.over |= count == 0;
        self.encrypted.end += count;
        if self.encrypted.end == self.buffer.len() {
            let grown = RECEIVED_BYTES_MAX.min(2 * self.buffer.len());
            self.buffer.resize(grown, 0);
        }
        Poll::Ready(Ok(()))
    }

    /// Notes where TLS has left decrypted bytes, as pointers into the slice it was given.
    pub(super) fn note_decrypted(&mut self, at: Range<*const u8>) -> io::Result<()> {
        let first = self.buffer.as_ptr().addr();
        let decrypted = at.start.addr().wrapping_sub(first)..at.end.addr().wrapping_sub(first);
        if self.buffer.get(decrypted.clone()).is_none() {
            return Err(io::Error::other("TLS decrypts elsewhere than in the buffer given"));
        }
        self.decrypted = decrypted;
        Ok(())
    }

    /// Moves decrypted bytes into `buf`, as many as fit.
    pub(super) fn hand_over(&mut self, buf: &mut ReadBuf<'_>) {
        let count = self.decrypted.len().min(buf.remaining());
        let end = self.decrypted.start + count;
        if let Some(bytes) = self.buffer.get(self.decrypted.start..end) {
            buf.put_slice(bytes);
        }
        self.decrypted.start = end;
    }
}

impl TlsInputBuffer for Received {
    fn slice_mut(&mut self) -> &mut [u8] {
        self.buffer.get_mut(self.encrypted.clone()).unwrap_or_default()
    }

    fn discard(&mut self, num_bytes: usize) {
        self.encrypted.start += num_bytes;
    }

    fn received_close_notify(&mut self) {
        self.over = true;
    }

    fn has_seen_eof(&self) -> bool {
        self.over
    }
}

/// Encrypted bytes on their way to the socket.
#[derive(Default)]
pub(super) struct Unsent {
    /// TLS appends here.
    pub(super) bytes: Vec<u8>,
    sent: usize,
}

impl Unsent {
    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.sent
    }

    /// Ready when all is sent.
    pub(super) fn poll_send(
        &mut self,
        socket: &mut (impl AsyncWrite + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while let Some(bytes) = self.bytes.get(self.sent..).filter(|bytes| !bytes.is_empty()) {
            let count = ready!(Pin::new(&mut *socket).poll_write(cx, bytes))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += count;
        }
        self.bytes.clear();
        self.sent = 0;
        Poll::Ready(Ok(()))
    }

    /// Gives back the room of what was sent, once it is more than what moves for it: a socket that
    /// takes a little at a time never empties the buffer.
    pub(super) fn reclaim(&mut self) {
        if self.len() < self.sent {
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
    }
}
