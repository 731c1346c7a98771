//! A gateway's connection over TLS: bytes from the socket are decrypted where they lie, and what is
//! written is encrypted into one buffer that leaves in as few writes as the socket takes.

use std::{
    future::poll_fn,
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use rustls_server::{Connection, ServerConfig, ServerSide, Tcp, crypto::cipher::OutboundPlain};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::buffers::{Received, Unsent};

/// Pieces encrypted at once; further ones wait for the next call.
const PIECES: usize = 64;

/// Bytes encrypted at once: they fit in four records, whatever the suite adds to each.
const PLAIN_BYTES_MAX: usize = 63 << 10;

/// When as many encrypted bytes wait for the socket, nothing more is encrypted until it takes them.
const UNSENT_BYTES_MAX: usize = 64 << 10;

/// Shakes hands with the client on `socket`. A client that goes away meanwhile is
/// `UnexpectedEof`; one that cannot be agreed with is told why, and is `InvalidData`.
pub(in crate::server) async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
    socket: S,
    config: Arc<ServerConfig>,
) -> io::Result<Stream<S>> {
    let mut stream = Stream {
        socket,
        tls: Connection::<ServerSide, Tcp>::new(config).map_err(broken)?,
        received: Received::default(),
        unsent: Unsent::default(),
        closing: false,
    };
    poll_fn(|cx| stream.poll_handshake(cx)).await?;
    Ok(stream)
}

/// A connection whose handshake is done. Its end is an ordinary one whether or not the client
/// announced it: HTTP/2 knows itself what is complete.
pub(in crate::server) struct Stream<S> {
    socket: S,
    tls: Connection<ServerSide, Tcp>,
    received: Received,
    unsent: Unsent,
    closing: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream<S> {
    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let progress = self.decrypt();
            let sent = self.unsent.poll_send(&mut self.socket, cx);
            // The alert that tells of it leaves if the socket takes it at once, and not otherwise.
            progress?;
            let _what_is_left_leaves_while_the_client_is_heard = sent?;
            if !self.tls.is_handshaking() {
                return Poll::Ready(Ok(()));
            }
            ready!(self.received.poll_receive(&mut self.socket, cx))?;
            if self.received.is_over() {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    /// Goes on until bytes of the client's lie decrypted, and says whether any do; if not, more
    /// must be received. An error stays: it comes back at every call.
    fn decrypt(&mut self) -> io::Result<bool> {
        let mut messages = self.tls.read_tls(&mut self.received, &mut self.unsent.bytes);
        let Some(payload) = messages.next_payload() else { return Ok(false) };
        let decrypted = payload.map_err(broken)?.bytes().as_ptr_range();
        drop(messages);
        self.received.note_decrypted(decrypted)?;
        Ok(true)
    }

    /// Fills `buf` from what was received; an error only if nothing could be filled in before it.
    fn fill(&mut self, buf: &mut ReadBuf<'_>) -> io::Result<()> {
        let before = buf.filled().len();
        loop {
            self.received.hand_over(buf);
            if buf.remaining() == 0 {
                return Ok(());
            }
            match self.decrypt() {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(_again_at_the_next_call) if before < buf.filled().len() => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Stream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        let before = buf.filled().len();
        loop {
            let filled = stream.fill(buf);
            // The handshake's last words, or an alert: nobody else flushes them. Should the socket
            // fail, reading from it will say so, too.
            let _ = stream.unsent.poll_send(&mut stream.socket, cx);
            filled?;
            if before < buf.filled().len() || buf.remaining() == 0 || stream.received.is_over() {
                return Poll::Ready(Ok(()));
            }
            ready!(stream.received.poll_receive(&mut stream.socket, cx))?;
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Encrypts, and leaves sending to the flush, so that many small writes are one to the socket.
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let stream = self.get_mut();
        if UNSENT_BYTES_MAX <= stream.unsent.len() {
            ready!(stream.unsent.poll_send(&mut stream.socket, cx))?;
        }
        let mut pieces = [&[][..]; PIECES];
        let mut taken = 0;
        let mut count = 0;
        for (piece, buf) in pieces.iter_mut().zip(bufs) {
            *piece = buf.get(..PLAIN_BYTES_MAX - taken).unwrap_or(buf);
            taken += piece.len();
            count += 1;
        }
        let pieces = pieces.get(..count).unwrap_or_default();
        if 0 < taken {
            let plain = OutboundPlain::new(pieces);
            stream.unsent.reclaim();
            stream.tls.write(plain, &mut stream.unsent.bytes).map_err(broken)?;
        }
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        ready!(stream.unsent.poll_send(&mut stream.socket, cx))?;
        Pin::new(&mut stream.socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        if !stream.closing {
            stream.closing = true;
            stream.tls.send_close_notify(&mut stream.unsent.bytes).map_err(broken)?;
        }
        ready!(stream.unsent.poll_send(&mut stream.socket, cx))?;
        Pin::new(&mut stream.socket).poll_shutdown(cx)
    }
}

fn broken(error: rustls_server::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests;
