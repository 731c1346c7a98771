//! Starting a replica: what stood on disk, and the parts around it.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::{mpsc, watch};

use super::{
    Cluster, Config, Driver, Shared, Storage, Timing, View,
    driver::Parts,
    home::{Home, HomeError},
};
use crate::{
    forming::{Forming, Record, Settings},
    identity::DiskId,
    machine::snapshot_policy,
    network::Links,
    peers::Book,
    transport::wire::{ENTRIES_MAX, Hello},
};

/// Commands that may wait for the driver. Whoever asks beyond them is refused or waits.
const COMMANDS_MAX: usize = 64;

/// Batches that may wait to be sent to the leader.
const PROPOSALS_MAX: usize = 64;

/// Why a driver does not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    #[error("cannot use the data directory")]
    Home(#[from] HomeError),
    #[error("cannot open or read the log of {seat}")]
    Log { seat: String, source: std::io::Error },
    #[error("cannot start the machine of {seat}")]
    Machine { seat: String, source: crate::machine::ApplierStartError },
    #[error("the log's engine of {seat} stopped: {why}")]
    Engine { seat: String, why: String },
    #[error("timing {0} is not possible: {1}")]
    Timing(String, String),
    #[error("a blocking task was lost")]
    Lost(#[source] std::io::Error),
}

/// Prepares a replica. Nothing happens until the driver runs.
pub fn start<S: Storage>(mut config: Config<S>) -> Result<(Cluster, Driver<S>), DriverError> {
    let engine = engine_config(&config.timing)?;
    let home = Home::open(&config.directory)?;
    let record = if let Some(record) = home.load()? {
        record
    } else {
        let record = Record::of_empty_disk(DiskId(config.random.u128(..)));
        home.save(&record)?;
        record
    };
    let settings = Settings {
        name: config.name.clone(),
        pool: config.pool.clone(),
        declared: config.declared,
        limits: config.forming,
    };
    let forming = Forming::new(settings, record, config.random.fork());
    let hello = Hello {
        status: forming.status(Duration::ZERO),
        advertised: config.advertised.clone(),
        configured: config.declared,
        committed: 0,
        members: Vec::new(),
        digests: Vec::new(),
        applies: true,
    };
    let (outgoing, proposed) = mpsc::channel(PROPOSALS_MAX);
    let (commands, asked) = mpsc::channel(COMMANDS_MAX);
    let links = Links {
        transport: Arc::clone(&config.transport),
        book: Arc::new(Mutex::new(Book::new(config.peers.as_ref()))),
        threads: config.threads,
    };
    let shared = Arc::new(Shared {
        name: config.name.clone(),
        links,
        threads: config.threads,
        timing: config.timing,
        commands,
        proposals: config.proposals.take(),
        hello: ArcSwap::from_pointee(hello),
        seated: ArcSwapOption::empty(),
        view: ArcSwap::from_pointee(View::default()),
        applier: watch::Sender::new(None),
        ready: watch::Sender::new(false),
        left: watch::Sender::new(false),
        outgoing,
    });
    let parts =
        Parts { shared: Arc::clone(&shared), forming, home, engine, commands: asked, proposed };
    Ok((Cluster { shared }, Driver::new(config, parts)))
}

/// openraft's configuration. Where its defaults are wrong here, and why:
///
/// - pre-vote is off, so a replica that was cut off would unseat the leader when it comes back;
/// - a snapshot every 5,000 entries, whatever their size; the machine counts bytes;
/// - 200 ms for a whole snapshot; one of a large index takes longer on any network;
/// - 300 entries to a message, which bounds no bytes;
/// - logs are purged entry by entry, each a write.
fn engine_config(timing: &Timing) -> Result<Arc<openraft::Config>, DriverError> {
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let config = openraft::Config {
        cluster_name: "convoy".to_owned(),
        heartbeat_interval: millis(timing.heartbeat),
        election_timeout_min: millis(timing.election_min),
        election_timeout_max: millis(timing.election_max),
        install_snapshot_timeout: millis(timing.snapshot),
        snapshot_policy: snapshot_policy(),
        enable_pre_vote: Some(true),
        max_payload_entries: ENTRIES_MAX as u64,
        max_in_snapshot_log_to_keep: 2000,
        purge_batch_size: 256,
        // A leader that was cut off with some followers lets them go to the others.
        quorum_loss_probe_interval: Some(2 * millis(timing.election_max)),
        ..openraft::Config::default()
    };
    let checked = config.validate();
    checked
        .map(Arc::new)
        .map_err(|fault| DriverError::Timing(format!("{timing:?}"), fault.to_string()))
}
