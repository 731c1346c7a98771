//! Model servers' metrics pages, fetched over one kept connection and read into samples.

mod engine;
mod page;
mod selector;
mod text;
mod wanted;

pub use engine::{
    ENGINE_DEFAULT, ENGINE_LABEL, ENGINE_LABEL_LEGACY, EngineError, EngineSpecs, Engines,
};
pub use page::{Page, read};
pub use selector::{Selector, SelectorError};
pub use wanted::Wanted;
