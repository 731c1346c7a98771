//! Forming a cluster, joining it, and forming it again when its quorum is lost for good.
//!
//! A pure core: facts in, work out. A driver asks around in rounds ([`Event::Seen`]), reports how its log
//! fares ([`Event::Log`]), and carries out [`Effects`]. Time and randomness are arguments.
//!
//! **One rule for the first forming and for all later ones.** A replica forms a generation, that is, begins a
//! log, when
//! - nobody in sight follows a leader;
//! - those in sight who are willing are a majority of the declared replicas, itself included (of two that hold
//!   state: either alone), and have been for a while, so that an election could have come first;
//! - it is the best placed of them: the state that goes furthest, then the first name;
//! - a majority grants it that generation's number, each durably before it says so. A first forming needs one more
//!   round, in which they agree on the cluster's name ([`Round`]).
//!
//! An empty disk is willing at once. One that holds state waits for its leader for a limit first, since a
//! majority that comes back keeps more than one that begins anew. While any state is in sight an empty disk
//! forms nothing, so a wiped first replica joins, and does not found a second cluster.
//!
//! **Granting leaves the older generation.** The promise is in the [`Record`] before the answer goes out, and
//! the log it took part in is stopped before that. So in one number two formers never have grants from
//! majorities that overlap, and an older generation that keeps a majority of its voters keeps every grant
//! from a majority of the replicas, where those are the same. They need not be: with two, four, or more than
//! five replicas, the voters are fewer than the replicas, and **a partition can leave two generations serving
//! side by side until it heals**. Picks work in both.
//!
//! **The higher generation wins.** Whoever sees a leader of one joins it, and first offers it again what its own
//! log was given since the two parted ([`Act::Join`]). Only where no leader of the own or a higher generation
//! has been seen for the limit does a replica join a lower one.

mod facts;
mod grants;
mod record;
mod sight;
mod status;

use std::{collections::BTreeSet, time::Duration};

use self::sight::{Judge, Sight};
pub use self::{
    facts::{Act, Effects, Event, Limits, Settings, Waiting},
    record::{Confirmed, Grant, Record, Standing},
    status::{Answer, Denied, Led, Offer, Refused, Round, Status, Told, Verdict},
};
use crate::identity::{DiskId, Generation, Position, ReplicaName, Seat};

/// What a replica is at, beside its [`Standing`].
#[derive(Debug)]
enum Phase {
    Watching,
    /// Would form, and counts grants. Its own comes last.
    Asking {
        offer: Offer,
        needed: usize,
        granted: BTreeSet<ReplicaName>,
        /// The latest name that somebody confirmed for the cluster.
        confirmed: Option<Confirmed>,
        until: Duration,
    },
    /// Let another form.
    Promised {
        former: ReplicaName,
        number: u64,
        until: Duration,
    },
    Founding {
        number: u64,
    },
    Joining {
        stopped: bool,
    },
}

/// The core. `now` is the time since the replica started.
#[derive(Debug)]
pub struct Forming {
    settings: Settings,
    random: fastrand::Rng,
    record: Record,
    phase: Phase,
    sight: Sight,
    /// How far this disk's state goes.
    position: Option<Position>,
    /// The leader with a quorum, of the log that this disk takes part in.
    led: Option<ReplicaName>,
    /// When that last was one.
    led_last: Duration,
    /// Since when those in sight would be enough to form.
    enough_since: Option<Duration>,
    retry_at: Duration,
    waiting: Option<Waiting>,
    leaving: bool,
}

impl Forming {
    pub fn new(settings: Settings, record: Record, random: fastrand::Rng) -> Self {
        Self {
            settings,
            random,
            record,
            phase: Phase::Watching,
            sight: Sight::default(),
            position: None,
            led: None,
            led_last: Duration::ZERO,
            enough_since: None,
            retry_at: Duration::ZERO,
            waiting: None,
            leaving: false,
        }
    }

    /// Takes one fact and says what follows from it.
    pub fn step(&mut self, now: Duration, event: Event) -> Effects {
        let mut effects = Effects::default();
        match event {
            Event::Started => effects.act = self.record.inside().cloned().map(Act::Run),
            Event::Seen(heard) => self.on_seen(now, heard, &mut effects),
            Event::Log { position, led } => self.on_log(now, position, led),
            Event::Asked(offer) => self.on_asked(now, &offer, &mut effects),
            Event::Answered { from, answer } => self.on_answered(from, &answer, &mut effects),
            Event::Founded(seat) | Event::Seated(seat) => self.on_seat(now, seat, &mut effects),
            Event::Failed => self.on_failed(now, &mut effects),
            Event::Declared(declared) => self.on_declared(declared, &mut effects),
            Event::Spoiled => self.on_spoiled(&mut effects),
            Event::Leaving => self.leaving = true,
        }
        effects
    }

    /// What to tell others.
    pub fn status(&self, now: Duration) -> Status {
        Status {
            name: self.settings.name.clone(),
            disk: self.record.disk,
            pool: self.settings.pool.clone(),
            declared: self.declared(),
            told: self.told(),
            willing: self.is_willing(now),
            number_max: self.record.number_max(),
            founding: match self.phase {
                Phase::Founding { number } => Some(number),
                Phase::Watching
                | Phase::Asking { .. }
                | Phase::Promised { .. }
                | Phase::Joining { .. } => None,
            },
            sees_cluster: self.sight.holds_state(),
            leaving: self.leaving,
        }
    }

    pub fn record(&self) -> &Record {
        &self.record
    }

    /// What keeps this replica from a log that has a leader, if anything does.
    pub fn waiting(&self) -> Option<&Waiting> {
        self.waiting.as_ref()
    }

    pub fn declared(&self) -> u16 {
        self.record.seat().map_or(self.settings.declared, |seat| seat.declared)
    }

    fn told(&self) -> Told {
        let unknown = |seat: &Seat| Position { generation: seat.generation, term: 0, index: 0 };
        match &self.record.standing {
            Standing::Empty => Told::Empty,
            Standing::Inside(seat) => Told::Inside {
                cluster: seat.cluster,
                id: seat.id,
                position: self.position.unwrap_or_else(|| unknown(seat)),
                led: self.led.clone(),
            },
            Standing::Left(seat) => Told::Left {
                cluster: seat.cluster,
                position: self.position.unwrap_or_else(|| unknown(seat)),
            },
        }
    }

    fn is_willing(&self, now: Duration) -> bool {
        let free = match self.phase {
            Phase::Watching | Phase::Asking { .. } => true,
            Phase::Promised { until, .. } => until <= now,
            Phase::Founding { .. } | Phase::Joining { .. } => false,
        };
        let ripe = match self.record.standing {
            Standing::Empty | Standing::Left(_) => true,
            Standing::Inside(_) => self.is_ripe(now),
        };
        free && ripe && !self.leaving
    }

    /// Whether a replica that takes part in a log has missed its leader for the limit.
    fn is_ripe(&self, now: Duration) -> bool {
        self.led.is_none() && self.settings.limits.unled <= now.saturating_sub(self.led_last)
    }

    fn on_log(&mut self, now: Duration, position: Position, led: Option<ReplicaName>) {
        let Some(seat) = self.record.seat() else { return };
        if position.generation != seat.generation {
            return;
        }
        self.position = Some(position);
        self.led = led.filter(|_| self.record.inside().is_some());
        if self.led.is_some() {
            self.led_last = now;
        }
    }

    fn on_seen(&mut self, now: Duration, heard: Vec<Status>, effects: &mut Effects) {
        let judge = Judge {
            name: &self.settings.name,
            disk: self.record.disk,
            pool: &self.settings.pool,
            cluster: self.record.seat().map(|seat| seat.cluster),
        };
        self.sight = Sight::new(judge, heard, &mut effects.refused);
        match &mut self.phase {
            Phase::Founding { .. } | Phase::Joining { .. } => return,
            Phase::Watching => {}
            Phase::Asking { until, .. } => {
                if *until <= now || self.led.is_some() || self.sight.led().is_some() {
                    self.give_up(now);
                }
            }
            Phase::Promised { former, number, until } => {
                let founding = self.sight.get(former).and_then(|status| status.founding);
                if founding == Some(*number) {
                    *until = now + self.settings.limits.promise;
                }
                if *until <= now {
                    self.phase = Phase::Watching;
                }
            }
        }
        self.waiting = self.choose(now, effects).err();
    }

    /// Joins, or would form, or waits.
    fn choose(&mut self, now: Duration, effects: &mut Effects) -> Result<(), Waiting> {
        if self.leaving {
            return Err(Waiting::Leaving);
        }
        if let Some((act, generation)) = self.join(now)? {
            effects.stop = self.record.inside().is_some_and(|seat| seat.generation != generation);
            effects.act = Some(act);
            self.phase = Phase::Joining { stopped: effects.stop };
            self.enough_since = None;
            return Ok(());
        }
        if self.led.is_some() {
            self.enough_since = None;
            return Ok(());
        }
        match self.phase {
            Phase::Watching => self.would_form(now, effects),
            Phase::Asking { .. }
            | Phase::Promised { .. }
            | Phase::Founding { .. }
            | Phase::Joining { .. } => Ok(()),
        }
    }

    /// The log to join, if one in sight has a leader and is better than what this replica has.
    fn join(&self, now: Duration) -> Result<Option<(Act, Generation)>, Waiting> {
        let Some(led) = self.sight.led() else { return Ok(None) };
        let clusters = self.sight.led_clusters().len();
        if 1 < clusters {
            return Err(Waiting::Clusters(clusters));
        }
        let better = match (&self.record.standing, &self.phase) {
            // Whom this replica let form may be about to have a leader.
            (Standing::Empty | Standing::Left(_), Phase::Promised { number, .. }) => {
                *number <= led.generation.number
            }
            (Standing::Empty | Standing::Left(_), _) => true,
            (Standing::Inside(seat), _) => {
                let unled = now.saturating_sub(self.led_last);
                match led.generation.cmp(&seat.generation) {
                    std::cmp::Ordering::Greater => true,
                    // Its leader does not speak to this replica: it was removed, having been away.
                    std::cmp::Ordering::Equal => {
                        self.led.is_none() && self.settings.limits.settle <= unled
                    }
                    std::cmp::Ordering::Less => self.is_ripe(now),
                }
            }
        };
        if !better {
            return Ok(None);
        }
        let here = self.record.inside().filter(|seat| seat.generation == led.generation);
        let (leader, id) = (led.leader.clone(), here.map(|seat| seat.id));
        let (cluster, generation) = (led.cluster, led.generation);
        Ok(Some((Act::Join { leader, cluster, generation, id }, generation)))
    }

    fn on_seat(&mut self, now: Duration, seat: Seat, effects: &mut Effects) {
        self.phase = Phase::Watching;
        self.led_last = now;
        if self.record.inside() == Some(&seat) {
            return;
        }
        self.position = None;
        self.led = None;
        self.record = self.record.with_seat(seat.clone());
        effects.persist = Some(self.record.clone());
        effects.act = Some(Act::Run(seat));
    }

    fn on_failed(&mut self, now: Duration, effects: &mut Effects) {
        if let Phase::Joining { stopped: true } = self.phase {
            effects.act = self.record.inside().cloned().map(Act::Run);
        }
        self.give_up(now);
    }

    fn on_declared(&mut self, declared: u16, effects: &mut Effects) {
        if let Standing::Inside(seat) = &mut self.record.standing
            && seat.declared != declared
        {
            seat.declared = declared;
            effects.persist = Some(self.record.clone());
        }
    }

    fn on_spoiled(&mut self, effects: &mut Effects) {
        effects.stop = true;
        self.phase = Phase::Watching;
        self.position = None;
        self.led = None;
        self.record.standing = Standing::Empty;
        // The log gives one id to one disk, and this one's must not be used any more.
        self.record.disk = DiskId(self.random.u128(..));
        effects.persist = Some(self.record.clone());
    }

    fn give_up(&mut self, now: Duration) {
        self.phase = Phase::Watching;
        self.enough_since = None;
        let wait = self.settings.limits.retry.mul_f64(self.random.f64());
        self.retry_at = now + wait;
    }
}
