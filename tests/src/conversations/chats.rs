//! Chats: people who talk to assistants, turn by turn.

use std::time::Duration;

use super::text::Text;
use super::traffic::{Plan, Then};

/// Chats in groups. The chats of a group share their system prompt, as those of one application
/// do. Pairs are the least and the most that is drawn.
#[derive(Clone, Debug)]
pub struct Chats {
    pub groups: usize,
    pub chats_per_group: usize,
    pub system_bytes: (usize, usize),
    pub turns: (usize, usize),
    pub user_bytes: (usize, usize),
    pub answer_tokens: (u32, u32),
    /// From an answer to the next question.
    pub thinking: (Duration, Duration),
    /// Chats begin at times spread over so long.
    pub arriving: Duration,
}

impl Default for Chats {
    fn default() -> Self {
        Self {
            groups: 4,
            chats_per_group: 6,
            system_bytes: (4 << 10, 8 << 10),
            turns: (3, 8),
            user_bytes: (80, 600),
            answer_tokens: (40, 160),
            thinking: (Duration::from_millis(100), Duration::from_millis(600)),
            arriving: Duration::from_secs(3),
        }
    }
}

/// Draws chats, in the order in which they begin.
pub fn chats(seed: u64, chats: &Chats) -> Vec<Plan> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut plans = Vec::with_capacity(chats.groups * chats.chats_per_group);
    for group in 0..chats.groups {
        let system = Text::draw(&mut random, chats.system_bytes);
        for chat in 0..chats.chats_per_group {
            let turns = random.usize(chats.turns.0..=chats.turns.1.max(chats.turns.0));
            let mut following = Vec::new();
            // From the last turn to the first, since each holds the one after it.
            for turn in (0..turns).rev() {
                let thinking = draw_duration(&mut random, chats.thinking);
                following = vec![Then {
                    after: if turn == 0 { Duration::ZERO } else { thinking },
                    says: Text::draw(&mut random, chats.user_bytes),
                    max_tokens: draw_tokens(&mut random, chats.answer_tokens),
                    then: following,
                }];
            }
            plans.push(Plan {
                name: format!("chat {chat} of group {group}"),
                begins: draw_duration(&mut random, (Duration::ZERO, chats.arriving)),
                system: Some(system),
                tools: None,
                first: following,
            });
        }
    }
    plans.sort_by_key(|plan| plan.begins);
    plans
}

pub(super) fn draw_duration(
    random: &mut fastrand::Rng,
    (least, most): (Duration, Duration),
) -> Duration {
    least + most.saturating_sub(least).mul_f64(random.f64())
}

pub(super) fn draw_tokens(random: &mut fastrand::Rng, (least, most): (u32, u32)) -> u32 {
    random.u32(least..=most.max(least))
}
