//! Bursts: many requests at nearly the same time that share a long text nobody saw before.
//!
//! This is what an evaluation of one document makes, or a popular link. It is hard for routers:
//! the second request comes before the first one's answer.

use std::time::Duration;

use super::chats::draw_tokens;
use super::text::Text;
use super::traffic::{Plan, Then};

/// Bursts, one after the other. Pairs are the least and the most that is drawn.
#[derive(Clone, Debug)]
pub struct Bursts {
    pub bursts: usize,
    pub requests_per_burst: usize,
    /// Bytes that all requests of a burst begin with.
    pub shared_bytes: usize,
    /// Bytes that each adds.
    pub own_bytes: (usize, usize),
    pub answer_tokens: (u32, u32),
    /// Between two requests of a burst.
    pub gap: Duration,
    /// From the beginning of one burst to that of the next.
    pub every: Duration,
}

impl Default for Bursts {
    fn default() -> Self {
        Self {
            bursts: 8,
            requests_per_burst: 16,
            shared_bytes: 16 << 10,
            own_bytes: (64, 256),
            answer_tokens: (20, 60),
            gap: Duration::from_millis(2),
            every: Duration::from_millis(500),
        }
    }
}

/// Draws bursts. Each request is a plan of its own: they come from different people.
pub fn bursts(seed: u64, bursts: &Bursts) -> Vec<Plan> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut plans = Vec::with_capacity(bursts.bursts * bursts.requests_per_burst);
    for burst in 0..bursts.bursts {
        let shared = Text { seed: random.u64(..), bytes: bursts.shared_bytes };
        let begins = times(bursts.every, burst);
        for request in 0..bursts.requests_per_burst {
            let then = Then {
                after: times(bursts.gap, request),
                says: Text::draw(&mut random, bursts.own_bytes),
                max_tokens: draw_tokens(&mut random, bursts.answer_tokens),
                then: Vec::new(),
            };
            plans.push(Plan {
                name: format!("request {request} of burst {burst}"),
                begins,
                system: Some(shared),
                tools: None,
                first: vec![then],
            });
        }
    }
    plans
}

fn times(duration: Duration, count: usize) -> Duration {
    duration.saturating_mul(u32::try_from(count).unwrap_or(u32::MAX))
}
