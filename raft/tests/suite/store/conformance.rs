//! openraft's own suite for log stores.

use convoy_raft::Types;
use convoy_raft::store::LogStore;
use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use tempfile::TempDir;

use super::machine::Machine;
use super::tools;

#[test]
fn the_store_passes_the_suite_of_openraft() {
    tools::runtime().block_on(Suite::test_all(Builder)).unwrap();
}

struct Builder;

impl StoreBuilder<Types, LogStore, Machine, TempDir> for Builder {
    async fn build(&self) -> Result<(TempDir, LogStore, Machine), StorageError<Types>> {
        let directory = tempfile::tempdir().unwrap();
        let store = tools::open(directory.path()).await;
        Ok((directory, store, Machine::default()))
    }
}
