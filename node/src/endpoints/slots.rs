//! Small numbers for endpoints, dense so that the prefix index can count by them.

use std::sync::{Mutex, PoisonError, Weak};

use super::view::{Counters, InFlight};

/// Which slot belongs to which life of an endpoint.
///
/// A slot is free again when nothing holds its life any more: no view, no request under way, and no
/// reader of [`super::Roster`] changes that still has something to erase. The table outlives the
/// book, which may be restarted.
#[derive(Debug, Default)]
pub struct Slots(Mutex<Vec<Weak<Counters>>>);

impl Slots {
    /// The lowest free slot, for the life that counts in `in_flight`.
    pub fn claim(&self, in_flight: &InFlight) -> u32 {
        let mut lives = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = lives.iter().position(|life| life.strong_count() == 0).unwrap_or(lives.len());
        match lives.get_mut(slot) {
            Some(free) => *free = in_flight.downgrade(),
            None => lives.push(in_flight.downgrade()),
        }
        u32::try_from(slot).expect("memory ends before slots do")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_free_only_when_nothing_holds_its_life() {
        let slots = Slots::default();
        let lives = [(); 3].map(|()| InFlight::default());
        assert_eq!(lives.each_ref().map(|life| slots.claim(life)), [0, 1, 2]);
        let [first, second, _third] = lives;
        let held_by_a_request = second.clone();
        drop(first);
        drop(second);
        let next = [(); 2].map(|()| InFlight::default());
        assert_eq!(next.each_ref().map(|life| slots.claim(life)), [0, 3]);
        drop(held_by_a_request);
        let last = InFlight::default();
        assert_eq!(slots.claim(&last), 1);
    }
}
