//! Many replicas without a runtime: forming and membership over a model of the log, in simulated time.
//!
//! Everything that can happen is an entry of one queue, ordered by time. Messages take their time, get
//! lost with a partition, and come to replicas that have started again meanwhile. A crash can come between
//! any two effects of a step. [`laws::Laws`] watches.

mod carry;
mod laws;
mod log;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use convoy_raft::{
    forming::{self, Act, Answer, Event, Forming, Offer, Record, Status},
    identity::{DiskId, Generation, ReplicaName, Seat},
    membership,
};

use self::{laws::Laws, log::Log};

pub(crate) const FORMING: forming::Limits = forming::Limits {
    absent: Duration::from_secs(5),
    settle: Duration::from_secs(3),
    unled: Duration::from_secs(20),
    answers: Duration::from_secs(3),
    promise: Duration::from_secs(6),
    retry: Duration::from_secs(2),
};

pub(crate) const MEMBERSHIP: membership::Limits = membership::Limits {
    live: Duration::from_secs(3),
    replace: Duration::from_secs(8),
    long_gone: Duration::from_mins(1),
};

/// Between two rounds of asking around.
const ROUND: Duration = Duration::from_millis(500);
/// Between two looks at the logs: heartbeats and elections.
const BEAT: Duration = Duration::from_millis(250);

/// What can happen.
#[derive(Debug)]
enum Happening {
    Round { of: usize, life: u32 },
    Heard { by: usize, life: u32, heard: Vec<Status> },
    Asked { by: usize, of: usize, life: u32, offer: Offer },
    Answered { by: usize, from: usize, life: u32, answer: Answer },
    Done { of: usize, life: u32, act: Act },
    Beat,
}

/// What outlives a process, until it is wiped.
#[derive(Debug)]
pub(crate) struct Disk {
    pub(crate) record: Record,
    /// How far the log of the seat goes: (term, index).
    pub(crate) held: (u64, u64),
}

#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) forming: Forming,
    /// When it started; its own clock counts from here.
    started: Duration,
    /// Takes part in the log of this seat.
    pub(crate) running: Option<Seat>,
    /// While it leads: in which term, and whom it heard.
    office: Option<(u64, membership::Contacts)>,
    heard: Vec<Status>,
}

#[derive(Debug)]
pub(crate) struct Replica {
    pub(crate) name: ReplicaName,
    pub(crate) disk: Disk,
    pub(crate) process: Option<Process>,
    /// Grows with every start, so that what belongs to an earlier process is dropped.
    life: u32,
    /// Which side of the partition it is on; sides do not reach each other.
    pub(crate) side: u32,
}

pub(crate) struct World {
    pub(crate) random: fastrand::Rng,
    pub(crate) now: Duration,
    queue: BTreeMap<(Duration, u64), Happening>,
    sequence: u64,
    pub(crate) replicas: Vec<Replica>,
    pub(crate) logs: BTreeMap<Generation, Log>,
    pub(crate) laws: Laws,
    /// How often a crash comes between two effects.
    pub(crate) crash_chance: f64,
    declared: u16,
}

impl World {
    /// `count` replicas on empty disks, none of them started.
    pub(crate) fn new(seed: u64, count: u16) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let replicas = (0..count).map(|i| Replica {
            name: ReplicaName::new(format!("epp-{i}")).unwrap(),
            disk: Disk::empty(&mut random),
            process: None,
            life: 0,
            side: 0,
        });
        let replicas = replicas.collect();
        let mut world = Self {
            random,
            now: Duration::ZERO,
            queue: BTreeMap::new(),
            sequence: 0,
            replicas,
            logs: BTreeMap::new(),
            laws: Laws::new(count),
            crash_chance: 0.0,
            declared: count,
        };
        world.schedule(BEAT, Happening::Beat);
        world
    }

    pub(crate) fn start(&mut self, of: usize) {
        let settings = forming::Settings {
            name: self.replicas[of].name.clone(),
            pool: "pool".into(),
            declared: self.declared,
            limits: FORMING,
        };
        let random = fastrand::Rng::with_seed(self.random.u64(..));
        let replica = &mut self.replicas[of];
        assert!(replica.process.is_none(), "stop it first");
        replica.life += 1;
        replica.process = Some(Process {
            forming: Forming::new(settings, replica.disk.record.clone(), random),
            started: self.now,
            running: None,
            office: None,
            heard: Vec::new(),
        });
        let life = replica.life;
        self.step(of, Event::Started);
        let delay = self.delay(500);
        self.schedule(delay, Happening::Round { of, life });
    }

    /// Asks a replica to stop, and stops it once it has no vote.
    pub(crate) fn leave(&mut self, of: usize) {
        self.step(of, Event::Leaving);
        self.eventually(Duration::from_secs(10), |world| !world.votes(of));
        self.crash(of);
    }

    fn votes(&self, of: usize) -> bool {
        let seat = self.replicas[of].process.as_ref().and_then(|process| process.running.as_ref());
        seat.is_some_and(|seat| self.logs[&seat.generation].voters.contains(&seat.id))
    }

    pub(crate) fn crash(&mut self, of: usize) {
        self.replicas[of].process = None;
    }

    pub(crate) fn wipe(&mut self, of: usize) {
        self.crash(of);
        self.replicas[of].disk = Disk::empty(&mut self.random);
        self.laws.wiped = true;
    }

    pub(crate) fn is_up(&self, of: usize) -> bool {
        self.replicas[of].process.is_some()
    }

    pub(crate) fn set_up(&mut self, up: impl Fn(usize) -> bool) {
        for of in 0..self.replicas.len() {
            match (self.is_up(of), up(of)) {
                (false, true) => self.start(of),
                (true, false) => self.crash(of),
                (true, true) | (false, false) => {}
            }
        }
    }

    pub(crate) fn heal(&mut self) {
        for replica in &mut self.replicas {
            replica.side = 0;
        }
    }

    pub(crate) fn reaches(&self, a: usize, b: usize) -> bool {
        self.is_up(a) && self.is_up(b) && self.replicas[a].side == self.replicas[b].side
    }

    pub(crate) fn of_name(&self, name: &ReplicaName) -> usize {
        self.replicas.iter().position(|replica| replica.name == *name).unwrap()
    }

    /// Lets time pass.
    pub(crate) fn run(&mut self, time: Duration) {
        let until = self.now + time;
        self.run_while(until, |_| true);
        self.now = until;
    }

    /// Lets time pass until `is`; panics if it is not by `patience`.
    #[track_caller]
    pub(crate) fn eventually(&mut self, patience: Duration, is: impl Fn(&Self) -> bool) {
        let until = self.now + patience;
        self.run_while(until, |world| !is(world));
        assert!(is(self), "not within {patience:?}:\n{}", self.describe());
    }

    fn run_while(&mut self, until: Duration, goes_on: impl Fn(&Self) -> bool) {
        while goes_on(self) {
            let Some(entry) = self.queue.first_entry().filter(|entry| entry.key().0 <= until)
            else {
                return;
            };
            self.now = entry.key().0;
            let happening = entry.remove();
            self.happen(happening);
        }
    }

    fn schedule(&mut self, delay: Duration, happening: Happening) {
        self.sequence += 1;
        self.queue.insert((self.now + delay, self.sequence), happening);
    }

    fn delay(&mut self, millis_max: u64) -> Duration {
        Duration::from_millis(self.random.u64(1..=millis_max))
    }

    fn process(&self, of: usize, life: u32) -> Option<&Process> {
        let replica = &self.replicas[of];
        replica.process.as_ref().filter(|_| replica.life == life)
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Beat => {
                self.beat();
                self.schedule(BEAT, Happening::Beat);
            }
            Happening::Round { of, life } => {
                if self.process(of, life).is_some() {
                    self.ask_around(of, life);
                    let jitter = self.delay(50);
                    self.schedule(ROUND + jitter, Happening::Round { of, life });
                }
            }
            Happening::Heard { by, life, heard } => {
                if self.process(by, life).is_some() {
                    self.hear(by, heard);
                }
            }
            Happening::Asked { by, of, life, offer } => {
                if self.reaches(by, of) && self.process(of, life).is_some() {
                    self.laws.asker = Some(by);
                    self.step(of, Event::Asked(offer));
                }
            }
            Happening::Answered { by, from, life, answer } => {
                if self.reaches(by, from) && self.process(by, life).is_some() {
                    let from = self.replicas[from].name.clone();
                    self.step(by, Event::Answered { from, answer });
                }
            }
            Happening::Done { of, life, act } => {
                if self.process(of, life).is_some() {
                    self.finish(of, act);
                }
            }
        }
    }

    fn ask_around(&mut self, of: usize, life: u32) {
        let mut heard = Vec::new();
        for other in 0..self.replicas.len() {
            if self.reaches(of, other)
                && let Some(process) = &self.replicas[other].process
            {
                heard.push(process.forming.status(process.age(self.now)));
            }
        }
        let delay = self.delay(400);
        self.schedule(delay, Happening::Heard { by: of, life, heard });
    }

    fn hear(&mut self, by: usize, heard: Vec<Status>) {
        let log = self.log_facts(by);
        if let Some(process) = &mut self.replicas[by].process {
            process.heard.clone_from(&heard);
        }
        if let Some(event) = log {
            self.step(by, event);
        }
        self.step(by, Event::Seen(heard));
        self.lead(by);
    }

    fn step(&mut self, of: usize, event: Event) {
        let Some(process) = &mut self.replicas[of].process else { return };
        let effects = process.forming.step(process.age(self.now), event);
        self.carry_out(of, effects);
    }

    /// Everybody that is up takes part in one generation that has a leader, and the right number votes.
    pub(crate) fn is_settled(&self) -> bool {
        let seats: BTreeSet<_> = self
            .replicas
            .iter()
            .filter_map(|replica| replica.process.as_ref())
            .map(|process| process.running.as_ref().map(|seat| seat.generation))
            .collect();
        let Some(Some(generation)) = seats.first() else { return false };
        let log = &self.logs[generation];
        let live = self.replicas.iter().filter(|replica| replica.process.is_some()).count();
        let votes = live.min(5) - usize::from(live.min(5) % 2 == 0);
        let seated =
            |id| (0..self.replicas.len()).any(|of| self.seat_of(of, *generation) == Some(id));
        let voters_live = log.voters.iter().all(|&id| seated(id));
        seats.len() == 1 && log.leader.is_some() && voters_live && log.voters.len() == votes
    }

    pub(crate) fn describe(&self) -> String {
        let replicas = self.replicas.iter().map(|replica| match &replica.process {
            None => format!("{} is down: {:?}", replica.name, replica.disk.record.standing),
            Some(process) => format!(
                "{} side {} at {:?}: {:?} {}\n    running {:?}\n    grant {:?}",
                replica.name,
                replica.side,
                process.age(self.now),
                process.forming.status(process.age(self.now)),
                process.forming.waiting().map(ToString::to_string).unwrap_or_default(),
                process.running,
                replica.disk.record.grant,
            ),
        });
        let logs = self.logs.iter().map(|(generation, log)| format!("{generation}: {log:?}"));
        replicas.chain(logs).collect::<Vec<_>>().join("\n")
    }
}

impl Process {
    /// What its clock says at `now`.
    fn age(&self, now: Duration) -> Duration {
        now.saturating_sub(self.started)
    }
}

impl Disk {
    fn empty(random: &mut fastrand::Rng) -> Self {
        Self { record: Record::of_empty_disk(DiskId(random.u128(..))), held: (0, 0) }
    }
}
