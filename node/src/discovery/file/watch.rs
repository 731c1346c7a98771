//! Waiting for the file to change: a task that looks when its directory stirs, and now and then.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use notify::{EventKind, RecursiveMode, Watcher, event::AccessKind};
use tokio::{
    sync::Notify,
    task::spawn_blocking,
    time::{sleep, timeout},
};

use super::look::{Loaded, Look, Seen};

/// Between two looks when nothing stirs: for files that are links into other directories, and for
/// file systems that tell nothing. A look at an unchanged file is one `stat`.
const LOOK_APART: Duration = Duration::from_secs(1);

/// An editor's save is several events; the file is looked at when none came for this long.
const QUIET: Duration = Duration::from_millis(50);

/// A directory that never rests does not keep the file from being looked at.
const QUIET_WAIT_MAX: Duration = Duration::from_millis(500);

/// Looks at the file for ever and tells what it `found`, until that answers false.
pub(super) async fn watch(path: PathBuf, known: Arc<Loaded>, found: impl Fn(Look) -> bool) {
    let stirred = Arc::new(Notify::new());
    let _watcher = match watch_directory(&path, Arc::clone(&stirred)) {
        Ok(watcher) => Some(watcher),
        Err(error) => {
            let path = path.display();
            tracing::warn!(%path, %error, every = ?LOOK_APART, "cannot watch for changes; polling");
            None
        }
    };
    let mut seen = Seen::new(&known);
    drop(known);
    loop {
        let path = path.clone();
        let looked = spawn_blocking(move || {
            let look = seen.look(&path);
            (seen, look)
        });
        // The blocking pool ends only with the runtime.
        let Ok((back, look)) = looked.await else {
            return;
        };
        seen = back;
        if look.is_some_and(|look| !found(look)) {
            return;
        }
        if timeout(LOOK_APART, stirred.notified()).await.is_ok() {
            let settled = async { while timeout(QUIET, stirred.notified()).await.is_ok() {} };
            tokio::select! {
                () = settled => {}
                () = sleep(QUIET_WAIT_MAX) => {}
            }
        }
    }
}

/// Watches the directory, not the file: a file that is replaced by renaming, or by swapping a link
/// as Kubernetes does for a `ConfigMap`, would take its watch with it.
fn watch_directory(path: &Path, stirred: Arc<Notify>) -> notify::Result<impl Watcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let is_reading = |kind| match kind {
            EventKind::Access(AccessKind::Close(mode)) => mode != notify::event::AccessMode::Write,
            EventKind::Access(_) => true,
            EventKind::Any
            | EventKind::Create(_)
            | EventKind::Modify(_)
            | EventKind::Remove(_)
            | EventKind::Other => false,
        };
        // Lost events come as errors, and are worth a look as well.
        if event.is_ok_and(|event| is_reading(event.kind)) {
            return;
        }
        stirred.notify_one();
    })?;
    let directory = match path.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory,
        Some(_) | None => Path::new("."),
    };
    watcher.watch(directory, RecursiveMode::NonRecursive)?;
    Ok(watcher)
}
