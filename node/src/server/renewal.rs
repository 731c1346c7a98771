//! The renewal: takes up a changed certificate without a restart.
//!
//! Owns: nothing but the last thing it said of the files.
//! Hears: its own ticks.
//! Publishes: the certificate, to the listeners that serve with it.
//! Restarts: from the files.

use std::{sync::Arc, time::Duration};

use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, SpawnErr};

use super::tls::Certificate;
use crate::{
    logging::chain,
    supervision::{ChildSpec, Policy, Starting},
};

/// How often the files are read. They are small, and whoever renews them leaves days of overlap;
/// what a file watch would gain is not worth its cases (symlinks swapped by Kubernetes, renames).
const READ_EVERY: Duration = Duration::from_secs(2);

/// Watches one certificate.
#[derive(Debug)]
pub struct Renewal;

/// Time to read the files.
#[derive(Debug)]
pub struct Tick;

/// What the renewal remembers.
#[derive(Debug)]
pub struct State {
    certificate: Arc<Certificate>,
    /// The last error, so that each is said once.
    said: Option<String>,
}

impl Actor for Renewal {
    type Msg = Tick;
    type State = State;
    type Arguments = Arc<Certificate>;

    async fn pre_start(
        &self,
        myself: ActorRef<Tick>,
        certificate: Arc<Certificate>,
    ) -> Result<State, ActorProcessingErr> {
        myself.send_interval(READ_EVERY, || Tick);
        Ok(State { certificate, said: None })
    }

    async fn handle(
        &self,
        _myself: ActorRef<Tick>,
        Tick: Tick,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match state.certificate.reload() {
            Ok(changed) => {
                if changed || state.said.take().is_some() {
                    tracing::info!("the certificate of the ext_proc port was read again");
                }
            }
            Err(error) => {
                let text = chain(&error);
                if state.said.as_ref() != Some(&text) {
                    let remedy = error.remedy();
                    tracing::error!(error = text, remedy, "the last good certificate stays");
                    state.said = Some(text);
                }
            }
        }
        Ok(())
    }
}

/// The renewal of `certificate` as a supervisor's child.
pub fn child(certificate: Arc<Certificate>, policy: Policy) -> ChildSpec {
    let start = move |parent: ActorCell| -> Starting {
        let certificate = Arc::clone(&certificate);
        Box::pin(async move {
            let (renewal, _ended) = Actor::spawn_linked(None, Renewal, certificate, parent).await?;
            Ok::<_, SpawnErr>(renewal.get_cell())
        })
    };
    ChildSpec { name: "certificate-renewal", policy, start: Box::new(start) }
}
