//! Model servers' metrics pages, fetched over one kept connection and read into samples.

pub mod scrapers;

mod scraper;

mod fetch;
mod link;
mod schedule;
mod target;
mod tls;

mod page;
mod text;
mod wanted;

mod metrics;

pub use fetch::{Limits, Source, SourceError};
pub use metrics::Metrics;
pub use page::{Page, read};
pub use schedule::Beat;
pub use tls::TlsError;
pub use wanted::Wanted;
