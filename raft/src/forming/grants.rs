//! Who may form: the election among replicas that have no log to elect in.

use std::{collections::BTreeSet, time::Duration};

use super::{
    Act, Effects, Forming, Phase, Waiting,
    record::{Confirmed, Grant, Standing},
    sight::better_placed,
    status::{Answer, Denied, Offer, Refused, Round, Status, Verdict},
};
use crate::identity::{ClusterId, Generation, ReplicaName};

/// Those who would let this replica form. They are enough.
struct Attendance<'a> {
    willing: Vec<&'a Status>,
    /// How many must grant, this replica included.
    needed: usize,
    /// Whether every declared replica is among them.
    complete: bool,
    declared: u16,
}

impl Forming {
    /// Asks for grants if this replica should form.
    pub(super) fn would_form(
        &mut self,
        now: Duration,
        effects: &mut Effects,
    ) -> Result<(), Waiting> {
        let limits = self.settings.limits;
        let since = self.enough_since.take().unwrap_or(now);
        let attendance = self.attendance(now, &mut effects.refused)?;
        let (needed, declared) = (attendance.needed, attendance.declared);
        let patience = match (&self.record.standing, attendance.complete) {
            (Standing::Empty, true) => Duration::ZERO,
            (Standing::Empty, false) => limits.absent,
            (Standing::Inside(_) | Standing::Left(_), _) => limits.settle,
        };
        let asked: Vec<_> = attendance.willing.iter().map(|status| status.name.clone()).collect();
        let waited = now.saturating_sub(since);
        self.enough_since = Some(since);
        if waited < patience {
            return Err(Waiting::Settling(patience.saturating_sub(waited)));
        }
        // Who is better placed may see fewer replicas. After a while this one forms without its
        // state, which that replica offers again when it joins.
        let better = self.sight.better_placed(&self.settings.name, self.position);
        if let Some(better) = better
            && waited < patience + limits.settle * 4
        {
            return Err(Waiting::Better(better.name.clone()));
        }
        if now < self.retry_at {
            return Err(Waiting::Retry);
        }
        let offer = self.offer(declared);
        effects.ask = asked.into_iter().map(|name| (name, offer.clone())).collect();
        let until = now + limits.answers;
        self.record = self.record.with_asked(offer.grant.generation.number);
        effects.persist = Some(self.record.clone());
        let (granted, confirmed) = (BTreeSet::new(), self.record.confirmed);
        self.phase = Phase::Asking { offer, needed, granted, confirmed, until };
        self.go_on_if_granted(effects);
        Ok(())
    }

    fn attendance(
        &self,
        now: Duration,
        refused: &mut Vec<Refused>,
    ) -> Result<Attendance<'_>, Waiting> {
        if let Some(led) = self.sight.led() {
            // Either its own log's, which this replica will hear of by itself, or one to join soon.
            return Err(Waiting::Better(led.leader.clone()));
        }
        let empty = self.record.standing == Standing::Empty;
        let holder = self.sight.iter().find(|status| status.cluster().is_some());
        if let (true, Some(holder)) = (empty, holder) {
            return Err(Waiting::State(holder.name.clone()));
        }
        if !self.is_willing(now) {
            let unled = now.saturating_sub(self.led_last);
            return Err(Waiting::Leader(self.settings.limits.unled.saturating_sub(unled)));
        }
        let ours = self.declared();
        if empty {
            let other = self.sight.iter().filter(|status| status.declared != ours);
            let before = refused.len();
            refused.extend(other.map(|status| Refused::OtherSize {
                name: status.name.clone(),
                theirs: status.declared,
                ours,
            }));
            if before < refused.len() {
                return Err(Waiting::Sizes);
            }
        }
        let willing: Vec<_> = self.sight.iter().filter(|status| status.willing).collect();
        // Only who holds state knows what the log declared.
        let told = willing.iter().filter(|status| status.cluster().is_some());
        let declared = told.map(|status| status.declared).fold(ours, u16::max);
        let needed = match declared {
            2 if !empty => 1,
            declared => usize::from(declared) / 2 + 1,
        };
        if willing.len() + 1 < needed {
            return Err(Waiting::Majority { willing: willing.len() + 1, needed });
        }
        let complete = usize::from(declared) <= willing.len() + 1;
        Ok(Attendance { willing, needed, complete, declared })
    }

    fn offer(&mut self, declared: u16) -> Offer {
        let number = self.record.number_max().max(self.sight.number_max()) + 1;
        let generation = Generation { number, random: self.random.u64(..) };
        let cluster = match self.record.seat() {
            Some(seat) => seat.cluster,
            None => ClusterId(self.random.u128(..)),
        };
        let former = self.settings.name.clone();
        Offer {
            grant: Grant { cluster, generation, former },
            round: Round::Grant,
            pool: self.settings.pool.clone(),
            declared,
            position: self.position,
        }
    }

    pub(super) fn on_asked(&mut self, now: Duration, offer: &Offer, effects: &mut Effects) {
        let verdict = match self.denies(now, offer) {
            Some(denied) => Verdict::Denied(denied),
            None => Verdict::Granted,
        };
        let (generation, round) = (offer.grant.generation, offer.round);
        let confirmed = self.record.confirmed;
        if verdict == Verdict::Granted {
            let (former, number) = (offer.grant.former.clone(), generation.number);
            let until = now + self.settings.limits.promise;
            self.grant(offer, effects);
            self.phase = Phase::Promised { former, number, until };
            self.enough_since = None;
        }
        effects.answer = Some(Answer { generation, round, verdict, confirmed });
    }

    /// Why `offer` is not granted.
    fn denies(&self, now: Duration, offer: &Offer) -> Option<Denied> {
        let Grant { cluster, generation, former } = &offer.grant;
        let ours = self.record.seat().map(|seat| seat.cluster);
        if offer.pool != self.settings.pool || *former == self.settings.name {
            return Some(Denied::Other);
        }
        if ours.is_some_and(|ours| ours != *cluster) && offer.position.is_some() {
            return Some(Denied::Other);
        }
        if let Some(leader) = &self.led {
            return Some(Denied::Led(leader.clone()));
        }
        if let Some(led) = self.sight.led() {
            return Some(Denied::Led(led.leader.clone()));
        }
        if offer.position < self.position || (ours.is_some() && offer.position.is_none()) {
            return Some(Denied::MoreAdvanced);
        }
        if offer.position.is_none() && self.sight.holds_state() {
            return Some(Denied::ClusterInSight);
        }
        let granted = self.record.grant.as_ref();
        let first = match offer.round {
            Round::Grant => self.record.may_grant(former, *generation),
            Round::Confirm => granted.is_some_and(|grant| grant.is_of(former, *generation)),
        };
        if !first {
            return Some(Denied::Stale(self.record.number_max()));
        }
        match &self.phase {
            Phase::Promised { former: other, until, .. } if other != former && now < *until => {
                return Some(Denied::Promised(other.clone()));
            }
            Phase::Asking { .. } => {
                let us = (&self.settings.name, self.position);
                if better_placed(us, (former, offer.position)) {
                    return Some(Denied::Promised(self.settings.name.clone()));
                }
            }
            Phase::Founding { .. } | Phase::Joining { .. } => return Some(Denied::Busy),
            Phase::Promised { .. } | Phase::Watching => {}
        }
        if self.leaving {
            return Some(Denied::Busy);
        }
        let patient = self.record.inside().is_some() && !self.is_ripe(now);
        patient.then_some(Denied::NotYet)
    }

    pub(super) fn on_answered(
        &mut self,
        from: ReplicaName,
        answer: &Answer,
        effects: &mut Effects,
    ) {
        let Phase::Asking { offer, granted, confirmed, .. } = &mut self.phase else { return };
        let asked = answer.generation == offer.grant.generation && answer.round == offer.round;
        if asked && answer.verdict == Verdict::Granted {
            granted.insert(from);
            let number =
                |confirmed: &Option<Confirmed>| confirmed.map(|confirmed| confirmed.number);
            if offer.round == Round::Grant && number(confirmed) < number(&answer.confirmed) {
                *confirmed = answer.confirmed;
            }
            self.go_on_if_granted(effects);
        }
    }

    /// With enough grants of others, asks them to confirm, or grants itself and forms.
    fn go_on_if_granted(&mut self, effects: &mut Effects) {
        let Phase::Asking { offer, needed, granted, confirmed, .. } = &mut self.phase else {
            return;
        };
        if granted.len() + 1 < *needed || self.led.is_some() {
            return;
        }
        let first_forming = offer.position.is_none();
        if first_forming && offer.round == Round::Grant {
            offer.round = Round::Confirm;
            if let Some(confirmed) = confirmed {
                offer.grant.cluster = confirmed.cluster;
            }
            let asked = std::mem::take(granted).into_iter();
            effects.ask = asked.map(|name| (name, offer.clone())).collect();
            if 1 < *needed {
                return;
            }
        }
        let offer = offer.clone();
        self.grant(&offer, effects);
        self.phase = Phase::Founding { number: offer.grant.generation.number };
        effects.act = Some(Act::Found(offer));
    }

    /// Leaves the older generation, and lets the former of `offer` form.
    fn grant(&mut self, offer: &Offer, effects: &mut Effects) {
        effects.stop = self.record.inside().is_some();
        self.record = match offer.round {
            Round::Grant => self.record.with_grant(offer.grant.clone()),
            Round::Confirm => self.record.with_confirmed(&offer.grant),
        };
        self.led = None;
        effects.persist = Some(self.record.clone());
    }
}
