//! Where logs are kept: sled in production, memory in simulations.

use std::{io, path::PathBuf, time::Instant};

use futures_util::{FutureExt, future::BoxFuture};
use openraft::storage::RaftLogStorage;

use crate::{
    store::{LogStore, Place, Settings},
    types::Types,
};

/// Opens logs.
pub trait Storage: Send + Sync + 'static {
    /// Clones are handles of the same log.
    type Log: RaftLogStorage<Types> + Clone;

    /// Opens the log in `directory`, or makes an empty one.
    fn open(&self, directory: PathBuf) -> BoxFuture<'static, io::Result<OpenedLog<Self::Log>>>;

    /// Closes it, so that its directory can be opened again or removed.
    fn close(&self, log: Self::Log) -> BoxFuture<'static, ()>;
}

/// A log that was opened.
#[derive(Debug)]
pub struct OpenedLog<L> {
    pub log: L,
    /// What stood there could not be trusted, and this log is empty instead. A seat whose votes are
    /// forgotten must not be used any more.
    pub forgotten: bool,
}

/// Logs on disk.
#[derive(Clone, Copy, Debug)]
pub struct OnDisk {
    pub clock: fn() -> Instant,
}

impl Storage for OnDisk {
    type Log = LogStore;

    fn open(&self, directory: PathBuf) -> BoxFuture<'static, io::Result<OpenedLog<LogStore>>> {
        let settings = Settings { place: Place::Directory(directory), clock: self.clock };
        async move {
            let opened = LogStore::open(settings).await.map_err(io::Error::other)?;
            Ok(OpenedLog { log: opened.store, forgotten: opened.set_aside.is_some() })
        }
        .boxed()
    }

    fn close(&self, log: LogStore) -> BoxFuture<'static, ()> {
        async move { log.close().await }.boxed()
    }
}
