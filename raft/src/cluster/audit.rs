//! Comparing this replica's machine with the others', and beginning anew if it is the odd one.

use std::collections::BTreeSet;

use futures_util::{FutureExt, future::BoxFuture};

use super::{Driver, Storage, driver::Done, home::Home};
use crate::{
    forming::Event,
    machine::{
        Applier, LogPosition, MachineDigest, Threads,
        audit::{CHECKPOINTS_KEPT, Checkpoint, Duty},
    },
    network::blocking,
    types::ReplicaId,
};

impl<S: Storage> Driver<S> {
    /// What to do if this replica's machine is the odd one: keep it for diagnosis, then begin anew.
    /// An odd leader hands over first.
    pub(super) fn audited(&mut self) -> Option<BoxFuture<'static, Done>> {
        let metrics = self.metrics()?;
        let (own, leader) = (metrics.id, metrics.current_leader);
        let config = metrics.membership_config.membership();
        let members: BTreeSet<_> = config.nodes().map(|(&id, _)| id).chain([own]).collect();
        self.audit.retain(&members);
        let live = self.note_digests(own, &members);
        let verdict = self.audit.verdict(&live, leader);
        match verdict.duty(own, leader) {
            Duty::Nothing => None,
            Duty::HandOver => {
                if !self.odd {
                    tracing::error!(?verdict, "this leader differs from the others; it hands over");
                }
                self.odd = true;
                None
            }
            Duty::Rejoin => {
                tracing::error!(?verdict, "this replica differs from the others; it joins anew");
                let applier = self.held.as_ref()?.applier.clone();
                let (home, threads) = (self.home.clone(), self.config.threads);
                Some(set_aside(applier, home, threads).boxed())
            }
        }
    }

    /// Notes what members say of their machines, and answers who of them apply.
    fn note_digests(
        &mut self,
        own: ReplicaId,
        members: &BTreeSet<ReplicaId>,
    ) -> BTreeSet<ReplicaId> {
        let mut live = BTreeSet::from([own]);
        let mut told = Vec::new();
        for &id in members.iter().filter(|&&id| id != own) {
            let heard = self.heard.values().find(|heard| self.is_at(&heard.hello, id));
            let Some(hello) = heard.map(|heard| &heard.hello) else { continue };
            if hello.applies {
                live.insert(id);
            }
            let digests = hello.digests.iter().take(CHECKPOINTS_KEPT);
            told.extend(digests.map(|&(index, digest)| (id, index, MachineDigest(digest))));
        }
        for (id, index, digest) in told {
            // Only the index is compared.
            let position = LogPosition { term: 0, leader: 0, index };
            self.audit.report(id, Checkpoint { position, digest });
        }
        if let Some(held) = &self.held {
            for checkpoint in held.applier.reading().load().checkpoints.iter() {
                self.audit.report(own, *checkpoint);
            }
        }
        live
    }
}

async fn set_aside(applier: Applier, home: Home, threads: Threads) -> Done {
    let kept = match applier.set_aside().await {
        Ok(path) => blocking(threads, move || home.keep_aside(&path)).await.and_then(|kept| kept),
        Err(fault) => Err(fault),
    };
    match kept {
        Ok(path) => tracing::error!(path = %path.display(), "what differed is kept there"),
        Err(fault) => tracing::error!(%fault, "cannot keep what differed"),
    }
    Event::Spoiled.into()
}
