//! Model servers' metrics pages, fetched over one kept connection and read into samples.

mod page;
mod text;
mod wanted;

pub use page::{Page, read};
pub use wanted::Wanted;
