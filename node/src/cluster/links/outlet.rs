//! Outlets: what is called goes out by the one of its address, whatever becomes of the connection behind it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use arc_swap::{ArcSwap, Guard};
use convoy_raft::{
    peers::{ADDRESSES_MAX, Address},
    transport::{Destination, LinkError},
};
use tokio::sync::{Notify, watch};

use super::{LinkView, client::Client, greeting::Peer, hints::HintQueue, shown};
use crate::supervision::Intake;

/// Outlets at once. A cluster's book has at most twice as many addresses as there are replicas.
const OUTLETS_MAX: usize = 2 * ADDRESSES_MAX + 16;

/// All outlets.
pub(super) struct Outlets {
    /// This replica's own, which it tells no hints.
    start: u64,
    all: Mutex<BTreeMap<Address, Arc<Outlet>>>,
    /// Those that hints go to: one for each other replica that is reached.
    hinted: ArcSwap<Vec<Arc<Outlet>>>,
    /// Has links made for outlets that have none.
    wishes: Intake<Wish>,
}

/// Somebody wants to reach an address that has no link.
#[derive(Debug)]
pub(super) struct Wish;

/// A wish that finds another one waiting is fulfilled by that.
const WISHES_WAITING_MAX: usize = 2;

/// The way to one address.
pub(super) struct Outlet {
    pub(super) address: Address,
    pub(super) hints: Arc<HintQueue>,
    phase: watch::Sender<Phase>,
    used_at: Mutex<Instant>,
    nudge: Notify,
}

/// How the link of an outlet fares.
#[derive(Clone)]
pub(super) enum Phase {
    /// No attempt has ended.
    Trying,
    Up(Box<(Peer, Client)>),
    Down(LinkError),
}

impl Outlets {
    pub(super) fn new(start: u64) -> Self {
        Self {
            start,
            all: Mutex::default(),
            hinted: ArcSwap::default(),
            wishes: Intake::new(WISHES_WAITING_MAX),
        }
    }

    pub(super) fn wishes(&self) -> Intake<Wish> {
        self.wishes.clone()
    }

    /// The outlet for `address`, made if there is none.
    pub(super) fn get(&self, now: Instant, address: &Address) -> Result<Arc<Outlet>, LinkError> {
        let mut all = self.lock();
        if let Some(outlet) = all.get(address) {
            outlet.use_at(now);
            return Ok(Arc::clone(outlet));
        }
        if OUTLETS_MAX <= all.len() {
            let why = format!("{OUTLETS_MAX} other addresses are in use");
            return Err(LinkError::Unreachable { to: address.to_string(), why });
        }
        let outlet = Arc::new(Outlet::new(now, address.clone()));
        all.insert(address.clone(), Arc::clone(&outlet));
        drop(all);
        // Where nobody hears it, the parent of the links looks by itself when it starts.
        let _ = self.wishes.offer(Wish);
        Ok(outlet)
    }

    /// All that were used within `idle`; the others are forgotten.
    pub(super) fn in_use(&self, now: Instant, idle: Duration) -> BTreeMap<Address, Arc<Outlet>> {
        let mut all = self.lock();
        all.retain(|_, outlet| {
            let in_use = now.saturating_duration_since(outlet.used_at()) < idle;
            if !in_use {
                outlet.give_up();
            }
            in_use
        });
        all.clone()
    }

    /// Has links try again at once that lead to `peer`, who has just called from there.
    pub(super) fn nudge(&self, peer: &Peer) {
        if let Some(outlet) = peer.advertised.as_ref().and_then(|at| self.lock().get(at).cloned()) {
            outlet.nudge.notify_one();
        }
    }

    /// Finds out again where hints go: a replica may be reached at two addresses, and is told once.
    pub(super) fn regroup(&self) {
        let mut told = BTreeSet::from([self.start]);
        let all = self.lock();
        let is_first = |outlet: &&Arc<Outlet>| match &*outlet.phase.borrow() {
            Phase::Up(up) => told.insert(up.0.start),
            Phase::Trying | Phase::Down(_) => false,
        };
        let hinted = all.values().filter(is_first).cloned().collect();
        self.hinted.store(Arc::new(hinted));
    }

    pub(super) fn hinted(&self) -> Guard<Arc<Vec<Arc<Outlet>>>> {
        self.hinted.load()
    }

    pub(super) fn view(&self) -> Vec<LinkView> {
        let view = |outlet: &Arc<Outlet>| {
            let name = match &*outlet.phase.borrow() {
                Phase::Up(up) => Some(up.0.name.clone()),
                Phase::Trying | Phase::Down(_) => None,
            };
            LinkView { address: outlet.address.clone(), name }
        };
        self.lock().values().map(view).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Address, Arc<Outlet>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Outlet {
    fn new(now: Instant, address: Address) -> Self {
        Self {
            address,
            hints: Arc::default(),
            phase: watch::Sender::new(Phase::Trying),
            used_at: Mutex::new(now),
            nudge: Notify::new(),
        }
    }

    /// A client to ask `to`, who must be the one at the other end. Waits for the first attempt only: where a
    /// link is known to be down, the caller hears so at once.
    pub(super) async fn client(&self, to: &Destination) -> Result<Client, LinkError> {
        let mut phase = self.phase.subscribe();
        let tried = phase.wait_for(|phase| !matches!(phase, Phase::Trying)).await;
        match &*tried.map_err(|_| LinkError::Closed)? {
            Phase::Up(up) => {
                let (peer, client) = &**up;
                if to.name.as_ref().is_some_and(|name| *name != peer.name) {
                    let why = format!("it is {} who answers there", peer.name);
                    return Err(LinkError::Unreachable { to: shown(to), why });
                }
                Ok(client.clone())
            }
            Phase::Down(why) => Err(why.clone()),
            Phase::Trying => Err(LinkError::Closed),
        }
    }

    /// The phase before.
    pub(super) fn set(&self, phase: Phase) -> Phase {
        self.phase.send_replace(phase)
    }

    /// Nobody will try to reach the address: who waits for the first attempt waits no longer.
    fn give_up(&self) {
        self.phase.send_if_modified(|phase| {
            let waited_for = matches!(phase, Phase::Trying);
            if waited_for {
                *phase = Phase::Down(LinkError::Closed);
            }
            waited_for
        });
    }

    /// Returns when somebody is there who was not.
    pub(super) async fn nudged(&self) {
        self.nudge.notified().await;
    }

    fn use_at(&self, now: Instant) {
        *self.used_at.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }

    fn used_at(&self) -> Instant {
        *self.used_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Outlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outlet").field("address", &self.address).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    fn address(port: u16) -> Address {
        format!("127.0.0.1:{port}").parse().unwrap()
    }

    #[test]
    fn outlets_that_nobody_uses_are_forgotten() {
        let (outlets, start) = (Outlets::new(1), clock::now());
        let minute = Duration::from_mins(1);
        for port in 1..=3 {
            outlets.get(start, &address(port)).unwrap();
        }
        outlets.get(start + minute, &address(2)).unwrap();
        let left = outlets.in_use(start + minute, minute);
        assert_eq!(left.into_keys().collect::<Vec<_>>(), [address(2)]);
    }

    #[tokio::test]
    async fn who_waits_for_an_outlet_that_is_forgotten_is_told() {
        let (outlets, start) = (Outlets::new(1), clock::now());
        let outlet = outlets.get(start, &address(1)).unwrap();
        assert!(outlets.in_use(start, Duration::ZERO).is_empty());
        let asked = outlet.client(&Destination { address: address(1), name: None }).await;
        assert!(matches!(asked.err(), Some(LinkError::Closed)));
    }

    #[test]
    fn addresses_without_number_are_refused() {
        let (outlets, start) = (Outlets::new(1), clock::now());
        let taken = (1..10_000).filter(|&port| outlets.get(start, &address(port)).is_ok());
        assert_eq!(taken.count(), OUTLETS_MAX);
    }

    #[tokio::test]
    async fn who_calls_hears_at_once_that_a_link_is_down() {
        let outlet = Outlet::new(clock::now(), address(1));
        let why = LinkError::Unreachable { to: "x".into(), why: "y".into() };
        outlet.set(Phase::Down(why));
        let asked = outlet.client(&Destination { address: address(1), name: None }).await;
        assert_eq!(asked.err().unwrap().to_string(), "cannot reach x: y");
    }
}
