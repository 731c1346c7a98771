//! The renewal: takes up changed credentials without a restart.
//!
//! Owns: nothing but the last thing it said of the files.
//! Hears: its own ticks.
//! Publishes: the credentials, to listener and links.
//! Restarts: from the files.

use std::{sync::Arc, time::Duration};

use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::{credentials::Credentials, unix_time};
use crate::logging::chain;

/// How often the files are read. They are small, and whoever renews them leaves hours of overlap.
const READ_EVERY: Duration = Duration::from_secs(2);

/// The actor.
#[derive(Debug)]
pub(super) struct Renewal;

/// Time to read the files.
#[derive(Debug)]
pub(super) struct Tick;

/// What the renewal remembers.
#[derive(Debug)]
pub(super) struct State {
    credentials: Arc<Credentials>,
    /// What was wrong the last time, and whether it was said. Files are often written one after the other,
    /// so a fault is said when it is there twice.
    fault: Option<(String, bool)>,
}

impl Actor for Renewal {
    type Msg = Tick;
    type State = State;
    type Arguments = Arc<Credentials>;

    async fn pre_start(
        &self,
        myself: ActorRef<Tick>,
        credentials: Arc<Credentials>,
    ) -> Result<State, ActorProcessingErr> {
        myself.send_interval(READ_EVERY, || Tick);
        Ok(State { credentials, fault: None })
    }

    async fn handle(
        &self,
        _myself: ActorRef<Tick>,
        Tick: Tick,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let before = state.fault.take();
        match state.credentials.reload(unix_time()) {
            Ok(changed) => {
                if changed || before.is_some_and(|(_, said)| said) {
                    tracing::info!("the credentials of the cluster were read again");
                }
            }
            Err(error) => {
                let text = chain(&error);
                let again = before.filter(|(known, _)| *known == text);
                if let Some((_, false)) = again {
                    let remedy = error.remedy();
                    tracing::error!(error = text, remedy, "the last good credentials stay in use");
                }
                state.fault = Some((text, again.is_some()));
            }
        }
        Ok(())
    }
}
