//! Agents: a task that branches into steps, each of which carries all that led to it.

use std::time::Duration;

use super::chats::{draw_duration, draw_tokens};
use super::text::Text;
use super::traffic::{Plan, Then};

/// Agents at work. Those of one kind share system prompt and tools. Pairs are the least and the
/// most that is drawn.
#[derive(Clone, Debug)]
pub struct Agents {
    pub kinds: usize,
    pub tasks_per_kind: usize,
    pub system_bytes: (usize, usize),
    pub tools: usize,
    pub task_bytes: (usize, usize),
    /// Steps from the task to the last result.
    pub depth: usize,
    /// Steps taken at once after each answer.
    pub branches: (usize, usize),
    /// What a tool returns to the agent.
    pub result_bytes: (usize, usize),
    pub answer_tokens: (u32, u32),
    /// How long a tool takes.
    pub tool_time: (Duration, Duration),
    /// Tasks begin at times spread over so long.
    pub arriving: Duration,
}

impl Default for Agents {
    fn default() -> Self {
        Self {
            kinds: 2,
            tasks_per_kind: 4,
            system_bytes: (2 << 10, 4 << 10),
            tools: 8,
            task_bytes: (4 << 10, 8 << 10),
            depth: 4,
            branches: (1, 3),
            result_bytes: (200, 2 << 10),
            answer_tokens: (20, 80),
            tool_time: (Duration::from_millis(5), Duration::from_millis(200)),
            arriving: Duration::from_secs(3),
        }
    }
}

/// Draws agents' tasks, in the order in which they begin.
pub fn agents(seed: u64, agents: &Agents) -> Vec<Plan> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut plans = Vec::with_capacity(agents.kinds * agents.tasks_per_kind);
    for kind in 0..agents.kinds {
        let system = Text::draw(&mut random, agents.system_bytes);
        let tools = Some((random.u64(..), agents.tools)).filter(|_| 0 < agents.tools);
        for task in 0..agents.tasks_per_kind {
            let mut first = step(&mut random, agents, agents.depth.saturating_sub(1));
            first.after = Duration::ZERO;
            first.says = Text::draw(&mut random, agents.task_bytes);
            plans.push(Plan {
                name: format!("task {task} of agent {kind}"),
                begins: draw_duration(&mut random, (Duration::ZERO, agents.arriving)),
                system: Some(system),
                tools,
                first: vec![first],
            });
        }
    }
    plans.sort_by_key(|plan| plan.begins);
    plans
}

fn step(random: &mut fastrand::Rng, agents: &Agents, steps_left: usize) -> Then {
    let (least, most) = agents.branches;
    let branches = if steps_left == 0 { 0 } else { random.usize(least..=most.max(least)) };
    Then {
        after: draw_duration(random, agents.tool_time),
        says: Text::draw(random, agents.result_bytes),
        max_tokens: draw_tokens(random, agents.answer_tokens),
        then: (0..branches).map(|_| step(random, agents, steps_left - 1)).collect(),
    }
}
