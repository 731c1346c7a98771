//! The TLS stream against a client of another version, by how bytes are cut.

use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, split};
use tokio_rustls::client;

use super::{
    super::tests::{Client, every_version, self_signed_certificate},
    *,
};

type Ends = (client::TlsStream<DuplexStream>, Stream<DuplexStream>);

/// A client and the server's stream, over a pipe of `pipe_bytes` in each direction.
async fn ends(pipe_bytes: usize) -> Ends {
    let certificate = self_signed_certificate();
    let config = every_version(&certificate);
    let (theirs, ours) = Client::default().meet(&certificate, &config, pipe_bytes).await;
    (theirs.unwrap(), ours.unwrap())
}

fn bytes(count: usize) -> Vec<u8> {
    (0..=250).cycle().take(count).collect()
}

/// Sends back what it reads, `read_bytes` at most at once, cut into pieces of `piece_bytes`.
async fn echo(mut stream: Stream<DuplexStream>, read_bytes: usize, piece_bytes: usize) {
    let mut buffer = vec![0; read_bytes];
    loop {
        let count = stream.read(&mut buffer).await.unwrap();
        if count == 0 {
            return stream.shutdown().await.unwrap();
        }
        let mut rest = &buffer[..count];
        while !rest.is_empty() {
            let pieces: Vec<_> = rest.chunks(piece_bytes).map(IoSlice::new).collect();
            let written = stream.write_vectored(&pieces).await.unwrap();
            rest = &rest[written..];
        }
        stream.flush().await.unwrap();
    }
}

/// Sends `sent`, cut into pieces of `write_bytes`, and returns what comes back.
async fn returned(theirs: client::TlsStream<DuplexStream>, sent: &[u8], write: usize) -> Vec<u8> {
    let (mut reader, mut writer) = split(theirs);
    let mut back = Vec::new();
    tokio::join!(
        async {
            for piece in sent.chunks(write) {
                writer.write_all(piece).await.unwrap();
                writer.flush().await.unwrap();
            }
            writer.shutdown().await.unwrap();
        },
        async { reader.read_to_end(&mut back).await.unwrap() }
    );
    back
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn however_bytes_are_cut_they_arrive(
        total in 1_usize..200_000,
        pipe_bytes in prop_oneof![1_usize..200, 4_000..100_000_usize],
        write_bytes in prop_oneof![500_usize..2_000, 10_000..100_000_usize],
        read_bytes in prop_oneof![200_usize..2_000, 10_000..100_000_usize],
        piece_bytes in prop_oneof![100_usize..1_000, 10_000..100_000_usize],
    ) {
        let sent = bytes(total);
        let back = run(async {
            let (theirs, ours) = ends(pipe_bytes).await;
            let ((), back) = tokio::join!(
                echo(ours, read_bytes, piece_bytes),
                returned(theirs, &sent, write_bytes)
            );
            back
        });
        prop_assert!(sent == back);
    }
}

#[tokio::test]
async fn large_bodies_pass_both_ways() {
    let sent = bytes(20 << 20);
    let (theirs, ours) = ends(1 << 20).await;

    let ((), back) = tokio::join!(echo(ours, 64 << 10, 9_000), returned(theirs, &sent, 1 << 20));

    assert!(sent == back);
}

#[tokio::test]
async fn an_end_without_a_farewell_is_an_end() {
    let (mut theirs, mut ours) = ends(1 << 16).await;
    theirs.write_all(b"last words").await.unwrap();
    theirs.flush().await.unwrap();
    drop(theirs);

    let mut heard = Vec::new();
    ours.read_to_end(&mut heard).await.unwrap();

    assert_eq!(heard, b"last words");
}

#[tokio::test]
async fn an_end_within_a_record_is_an_end() {
    let (theirs, mut ours) = ends(1 << 16).await;
    let (mut pipe, mut tls) = theirs.into_inner();
    let mut record = Vec::new();
    io::Write::write_all(&mut tls.writer(), b"half").unwrap();
    tls.write_tls(&mut record).unwrap();
    pipe.write_all(&record[..record.len() / 2]).await.unwrap();
    drop(pipe);

    let mut heard = Vec::new();
    ours.read_to_end(&mut heard).await.unwrap();

    assert!(heard.is_empty());
}

#[tokio::test]
async fn the_client_is_told_of_the_end() {
    let (mut theirs, mut ours) = ends(1 << 16).await;
    ours.shutdown().await.unwrap();

    // The client would take an end without notice for an attack.
    let mut heard = Vec::new();
    theirs.read_to_end(&mut heard).await.unwrap();
}

#[tokio::test]
async fn a_record_that_was_tampered_with_is_an_error_and_stays_one() {
    let (theirs, mut ours) = ends(1 << 16).await;
    let (mut pipe, mut tls) = theirs.into_inner();
    let mut records = Vec::new();
    io::Write::write_all(&mut tls.writer(), b"whole").unwrap();
    tls.write_tls(&mut records).unwrap();
    let whole = records.len();
    io::Write::write_all(&mut tls.writer(), b"broken").unwrap();
    tls.write_tls(&mut records).unwrap();
    records[whole + 7] ^= 1;
    pipe.write_all(&records).await.unwrap();

    let mut heard = [0; 64];
    assert_eq!(ours.read(&mut heard).await.unwrap(), 5);
    for _ in 0..2 {
        let error = ours.read(&mut heard).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
    // The client is told: an alert is there, beside the tickets.
    let mut alert = [0; 512];
    let count = pipe.read(&mut alert).await.unwrap();
    tls.read_tls(&mut &alert[..count]).unwrap();
    assert!(matches!(tls.process_new_packets(), Err(rustls::Error::AlertReceived(_))));
}

#[tokio::test]
async fn what_the_client_does_not_read_is_bounded() {
    let (theirs, mut ours) = ends(1 << 10).await;
    let piece = bytes(40_000);
    let mut taken = 0;
    poll_fn(|cx| {
        loop {
            match Pin::new(&mut ours).poll_write(cx, &piece) {
                Poll::Ready(count) => taken += count.unwrap(),
                Poll::Pending => return Poll::Ready(()),
            }
        }
    })
    .await;

    assert!(taken <= UNSENT_BYTES_MAX + PLAIN_BYTES_MAX);
    assert!(ours.unsent.bytes.capacity() <= 2 * (UNSENT_BYTES_MAX + PLAIN_BYTES_MAX));
    drop(theirs);
}

#[tokio::test]
async fn a_client_that_reads_slowly_costs_no_more_than_one_that_does_not_read() {
    let (mut theirs, mut ours) = ends(1 << 10).await;
    let piece = bytes(300);
    let mut heard = [0; 256];
    for _ in 0..5_000 {
        let mut turn = std::pin::pin!(async {
            ours.write_all(&piece).await.unwrap();
            ours.flush().await.unwrap();
        });
        tokio::select! {
            biased;
            () = &mut turn => {}
            count = theirs.read(&mut heard) => assert!(0 < count.unwrap()),
        }
    }

    assert!(ours.unsent.bytes.capacity() <= 4 * (UNSENT_BYTES_MAX + PLAIN_BYTES_MAX));
}

#[tokio::test]
async fn many_small_messages_allocate_nothing_further() {
    let (mut theirs, mut ours) = ends(1 << 16).await;
    let piece = bytes(300);
    let mut buffer = [0; 1024];
    let mut room = (0, 0);
    for turn in 0..200 {
        ours.write_all(&piece).await.unwrap();
        ours.flush().await.unwrap();
        let mut read = 0;
        while read < piece.len() {
            read += theirs.read(&mut buffer).await.unwrap();
        }
        let now = (ours.unsent.bytes.as_ptr().addr(), ours.unsent.bytes.capacity());
        assert!(turn == 0 || now == room);
        room = now;
    }
}
