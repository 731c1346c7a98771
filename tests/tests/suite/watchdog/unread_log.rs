//! Claims about a picker whose log nobody reads: a pipe whose reader has stopped is full for ever.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, ErrorKind, PipeReader, PipeWriter, Write as _};
use std::net::SocketAddr;
use std::os::fd::AsRawFd as _;
use std::path::Path;

use convoy_tests::epp::Ports;
use convoy_tests::processes::Process;
use convoy_tests::scratch::Scratch;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::{GONE_WITHIN, HUNG, PATIENCE, ask, blockable};

/// A picker that serves, and the reader of its log, which is full.
struct Mute {
    process: Process,
    ports: Ports,
    _log: BufReader<PipeReader>,
}

async fn mute(files: &Path) -> Mute {
    let (reader, writer) = io::pipe().unwrap();
    // Opened anew: what is set non-blocking here is not what the process gets.
    let filler = format!("/proc/self/fd/{}", writer.as_raw_fd());
    let filler = File::options().write(true).open(filler).unwrap();
    let mut command = blockable(files);
    command.args(["--v", "5", "--drain-timeout", "0s"]);
    let process = start(command, files, writer);
    let read = tokio::task::spawn_blocking(move || {
        let (mut log, mut line) = (BufReader::new(reader), String::new());
        loop {
            line.clear();
            assert_ne!(log.read_line(&mut line).unwrap(), 0, "the picker ended at its start");
            if let Some(ports) = Ports::in_log(&line) {
                return (ports, log);
            }
        }
    });
    let (ports, log) = read.await.unwrap();
    fill(filler);
    Mute { process, ports, _log: log }
}

/// The command holds the pipe's writing end, and goes with this function.
fn start(command: std::process::Command, files: &Path, log: PipeWriter) -> Process {
    Process::start_telling("epp", command, files, log).unwrap()
}

fn fill(mut pipe: File) {
    rustix::io::ioctl_fionbio(&pipe, true).unwrap();
    for size in [4096, 1] {
        let full = loop {
            if let Err(full) = pipe.write(&vec![b'\n'; size]) {
                break full;
            }
        };
        assert_eq!(full.kind(), ErrorKind::WouldBlock);
    }
}

/// Has the thread that serves write a line of its log.
async fn break_the_protocol(extproc: SocketAddr) {
    let mut gateway = TcpStream::connect(extproc).await.unwrap();
    gateway.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    // Whatever it says: afterwards it has been dealt with.
    let _ = gateway.read_to_end(&mut Vec::new()).await;
}

#[tokio::test]
async fn a_picker_whose_log_nobody_reads_picks_on_and_stops_when_told() {
    let files = Scratch::new("unread-log").unwrap();
    let mut picker = mute(files.path()).await;
    for _ in 0..8 {
        break_the_protocol(picker.ports.extproc).await;
        assert!(ask(picker.ports.extproc, "0s").await.unwrap());
    }
    picker.process.terminate().unwrap();
    assert_eq!(picker.process.exited(PATIENCE).await.unwrap().code(), Some(0));
}

#[tokio::test]
async fn a_picker_that_hangs_ends_itself_though_nobody_reads_its_log() {
    let files = Scratch::new("unread-log").unwrap();
    let mut picker = mute(files.path()).await;
    let asked_at = Instant::now();
    let ended = async {
        let status = picker.process.exited(PATIENCE).await.unwrap();
        (status, asked_at.elapsed())
    };
    let (answer, (status, after)) = tokio::join!(ask(picker.ports.extproc, "1m"), ended);
    answer.unwrap_err();
    assert_eq!(status.code(), Some(HUNG), "{status}");
    assert!(after <= GONE_WITHIN, "it ended after {after:?}");
}
