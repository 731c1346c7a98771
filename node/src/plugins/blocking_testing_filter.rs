//! `blocking-testing-filter`: holds the serving thread up for as long as the request's own header
//! says, and keeps every endpoint.
//!
//! It is for tests of the watchdog, which must see a request path that stands still. Whoever can
//! send requests can then stop the process, so it is never built by default and not without a
//! parameter that says for how long at most it may block.

use std::{sync::Arc, thread, time::Duration};

use super::Plugin;
use crate::{
    document::{Fault, Mapping},
    notation::duration_from_text,
    scheduling::{Candidate, Filter, PickContext},
};

pub(super) const TYPE: &str = "blocking-testing-filter";

/// The request header that holds a duration, such as `10s`.
const HEADER: &str = "test-epp-block";

pub(super) fn build(parameters: &mut Mapping<'_>) -> Result<Plugin, Fault> {
    let blocks_max = parameters.duration("blocksAtMost")?;
    let expected =
        "a duration such as 10s, if this is a test of the watchdog; else remove the plugin";
    let blocks_max = parameters.required("blocksAtMost", blocks_max, expected)?;
    Ok(Plugin::Filter(Arc::new(BlockingTestingFilter { blocks_max })))
}

#[derive(Debug)]
struct BlockingTestingFilter {
    blocks_max: Duration,
}

impl Filter for BlockingTestingFilter {
    fn filter(&self, context: &PickContext<'_>, _: &mut Vec<Candidate>) {
        if let Some(asked) = context.header(HEADER).and_then(duration_from_text) {
            thread::sleep(asked.min(self.blocks_max));
        }
    }
}
