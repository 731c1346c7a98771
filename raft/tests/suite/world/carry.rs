//! Carrying out what forming asks for, with a crash between any two effects.

use convoy_raft::{
    forming::{Act, Effects, Event, Offer, Verdict},
    identity::{Lineage, Seat},
    membership::{Admission, Application, admit, fresh_id},
};

use super::{Happening, World, log::Log};

impl World {
    pub(super) fn carry_out(&mut self, of: usize, effects: Effects) {
        let asker = self.laws.asker.take();
        if effects.stop {
            self.process_mut(of).running = None;
        }
        if let Some(record) = effects.persist {
            if self.crashes(of) {
                return;
            }
            self.laws.persisted(&record);
            self.replicas[of].disk.record = record;
            if self.crashes(of) {
                return;
            }
        }
        if let (Some(answer), Some(by)) = (effects.answer, asker) {
            if answer.verdict == Verdict::Granted {
                assert!(self.process_mut(of).running.is_none(), "left before the answer");
            }
            let (delay, life) = (self.delay(300), self.replicas[by].life);
            self.schedule(delay, Happening::Answered { by, from: of, life, answer });
        }
        for (name, offer) in effects.ask {
            let to = self.of_name(&name);
            let (delay, life) = (self.delay(300), self.replicas[to].life);
            self.schedule(delay, Happening::Asked { by: of, of: to, life, offer });
            if self.crashes(of) {
                return;
            }
        }
        if let Some(act) = effects.act {
            self.begin(of, act);
        }
    }

    fn crashes(&mut self, of: usize) -> bool {
        let crashes = self.random.f64() < self.crash_chance;
        if crashes {
            self.crash(of);
        }
        crashes
    }

    fn begin(&mut self, of: usize, act: Act) {
        let millis_max = match &act {
            Act::Run(seat) => {
                assert_eq!(self.replicas[of].disk.record.inside(), Some(seat), "durable first");
                self.process_mut(of).running = Some(seat.clone());
                return;
            }
            Act::Found(offer) => {
                let disks = self.replicas.iter().map(|replica| &replica.disk.record);
                self.laws.founds(offer, disks);
                4000
            }
            Act::Join { .. } => 1500,
        };
        let (delay, life) = (self.delay(millis_max), self.replicas[of].life);
        self.schedule(delay, Happening::Done { of, life, act });
    }

    /// The end of longer work.
    pub(super) fn finish(&mut self, of: usize, act: Act) {
        let event = match act {
            Act::Found(offer) => self.found(of, &offer),
            Act::Join { .. } => self.join(of, &act),
            Act::Run(_) => unreachable!("done at once"),
        };
        self.step(of, event);
    }

    fn found(&mut self, of: usize, offer: &Offer) -> Event {
        let disk = &mut self.replicas[of].disk;
        let generation = offer.grant.generation;
        let (start, lineage) = match disk.record.seat() {
            None => (0, Lineage::default()),
            Some(seat) => {
                let last = disk.held.1;
                (last + 1, seat.lineage.followed_by(seat.generation, last))
            }
        };
        let id = fresh_id(start);
        disk.held = (0, start);
        let name = self.replicas[of].name.clone();
        self.logs.insert(generation, Log::founded(id, name, offer, start, lineage.clone()));
        let (cluster, declared) = (offer.grant.cluster, offer.declared);
        Event::Founded(Seat { cluster, generation, id, declared, lineage })
    }

    fn join(&mut self, of: usize, act: &Act) -> Event {
        let Act::Join { leader, generation, id, .. } = act else { return Event::Failed };
        let at = self.of_name(leader);
        let leads = self.seat_of(at, *generation);
        let Some(facts) = self.facts(at).filter(|facts| Some(facts.me) == leads) else {
            return Event::Failed;
        };
        if !self.reaches(of, at) {
            return Event::Failed;
        }
        let replica = &self.replicas[of];
        let (name, disk) = (replica.name.clone(), replica.disk.record.disk);
        let application = Application { name: name.clone(), disk, id: *id };
        let Some(log) = self.logs.get_mut(generation).filter(|log| log.leader == leads) else {
            return Event::Failed;
        };
        let given = match admit(&facts, &application, log.last) {
            Err(_) => return Event::Failed,
            Ok(Admission::Member(id) | Admission::Again(id)) => id,
            Ok(Admission::Fresh) => {
                log.last += 1;
                fresh_id(log.last)
            }
        };
        let position = (log.term, log.last);
        log.members.entry(given).or_insert(name);
        let seat = log.seat(*generation, given);
        self.replicas[of].disk.held = position;
        self.laws.seated(*generation, given, disk);
        Event::Seated(seat)
    }
}
