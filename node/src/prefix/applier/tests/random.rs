//! Random histories beside a naive model: who was sent what.

use proptest::prelude::*;

use super::*;
use crate::endpoints::{InFlight, Slots};

#[derive(Clone, Debug)]
enum Step {
    /// A request with this prompt is sent to the endpoint, if it is in the pool.
    Send {
        endpoint: usize,
        letters: String,
    },
    /// The applier gets to the oldest sightings that wait.
    Apply {
        sightings: usize,
    },
    Look,
    /// The endpoint joins, or leaves and takes all with it.
    JoinOrLeave {
        endpoint: usize,
    },
    /// Its engine is started again.
    Restart {
        endpoint: usize,
    },
    Ask {
        letters: String,
    },
}

const ENDPOINTS: usize = 4;

fn step() -> impl Strategy<Value = Step> {
    let letters = || "[ab]{1,6}[a-c]{0,4}";
    let endpoint = || 0..ENDPOINTS;
    let send = (endpoint(), letters());
    prop_oneof![
        6 => send.prop_map(|(endpoint, letters)| Step::Send { endpoint, letters }),
        4 => (1..8usize).prop_map(|sightings| Step::Apply { sightings }),
        1 => Just(Step::Look),
        1 => endpoint().prop_map(|endpoint| Step::JoinOrLeave { endpoint }),
        1 => endpoint().prop_map(|endpoint| Step::Restart { endpoint }),
        6 => letters().prop_map(|letters| Step::Ask { letters }),
    ]
}

/// An endpoint and what was sent to it in this life.
struct Sent {
    endpoint: Arc<Endpoint>,
    prompts: Vec<String>,
}

struct World {
    fixture: Fixture,
    state: State,
    slots: Slots,
    pool: [Option<Sent>; ENDPOINTS],
    /// Oldest first.
    waiting: Vec<Sighting>,
}

/// More would begin to leave the overlay.
const WAITING_MAX: usize = 60;

impl World {
    fn new() -> Self {
        let fixture = Fixture::new(&[]);
        let mut state = State::new(fixture.arguments.clone(), 1, clock::now());
        state.publish();
        let (slots, pool, waiting) = (Slots::default(), Default::default(), Vec::new());
        let mut world = Self { fixture, state, slots, pool, waiting };
        for at in 0..ENDPOINTS {
            world.begin_life(at);
        }
        world
    }

    fn begin_life(&mut self, at: usize) {
        self.pool[at] = None;
        self.publish();
        let in_flight = InFlight::default();
        let slot = self.slots.claim(&in_flight);
        let named = endpoint(&format!("pod-{at}"), u32::try_from(at).unwrap());
        let endpoint = Arc::new(Endpoint { slot, in_flight, ..Endpoint::clone(&named) });
        self.pool[at] = Some(Sent { endpoint, prompts: Vec::new() });
        self.publish();
    }

    fn publish(&self) {
        let endpoints: Vec<_> = self.pool.iter().flatten().map(|sent| &sent.endpoint).collect();
        self.fixture.view.store(view(&endpoints), true);
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Send { endpoint, letters } => {
                let Some(sent) = &mut self.pool[endpoint] else { return };
                let text = prompt(&letters) + "a rest that is no block";
                self.waiting.extend(self.fixture.send(&text, &sent.endpoint));
                sent.prompts.push(letters);
                if WAITING_MAX < self.waiting.len() {
                    self.apply(WAITING_MAX / 2).await;
                }
            }
            Step::Apply { sightings } => self.apply(sightings).await,
            Step::Look => self.state.look(clock::now()),
            Step::JoinOrLeave { endpoint } => match self.pool[endpoint].take() {
                Some(_) => self.publish(),
                None => self.begin_life(endpoint),
            },
            Step::Restart { endpoint } => self.begin_life(endpoint),
            Step::Ask { letters } => self.ask(&letters),
        }
    }

    async fn apply(&mut self, sightings: usize) {
        for sighting in self.waiting.drain(..sightings.min(self.waiting.len())) {
            self.state.sighted(&sighting).await;
        }
    }

    fn ask(&self, letters: &str) {
        let found = self.fixture.matched(&prompt(letters));
        let common = |sent: &String| {
            let pairs = sent.chars().zip(letters.chars());
            pairs.take_while(|(sent, asked)| sent == asked).count()
        };
        let expected = self.pool.iter().flatten().map(|sent| {
            let most = sent.prompts.iter().map(common).max().unwrap_or(0);
            u32::try_from(most).unwrap()
        });
        assert_eq!(found, expected.collect::<Vec<_>>(), "asked for {letters}");
    }
}

proptest! {
    /// A failure is replayed by the line that proptest writes below `proptest-regressions/`.
    #[test]
    fn a_match_is_the_longest_start_in_common_with_what_was_sent_there(
        steps in prop::collection::vec(step(), 1..200),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut world = World::new();
            for step in steps {
                world.take(step).await;
            }
        });
    }
}
