//! `file-discovery`: the pool's endpoints stand in a file.

use std::path::PathBuf;

use super::Plugin;
use crate::document::{Fault, Mapping};

pub(super) const TYPE: &str = "file-discovery";

/// Where the endpoints stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileDiscovery {
    pub path: PathBuf,
    /// Reads the file again whenever it changes; otherwise once, at the start.
    pub watch: bool,
}

pub(super) fn build(parameters: &mut Mapping<'_>) -> Result<Plugin, Fault> {
    let path = parameters.text("path")?.filter(|path| !path.is_empty());
    let path =
        parameters.required("path", path, "the path of the file that lists the endpoints")?;
    let watch = parameters.flag("watchFile")?.unwrap_or(false);
    Ok(Plugin::FileDiscovery(FileDiscovery { path: path.into(), watch }))
}
