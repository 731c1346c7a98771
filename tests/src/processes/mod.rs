//! Child processes: started with their output in files, waited for, signalled, and never left over.

mod die_with_parent;
mod eventually;
mod usage;

use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;
use std::{fs, io};

pub use eventually::{NeverHappened, eventually};
use rustix::process::{Pid, Signal, kill_process};
pub use usage::Usage;

/// One child process.
///
/// It dies with this process and when dropped (SIGKILL either way). It has a process group of its
/// own, so that a terminal's Ctrl-C reaches the parent alone, which then decides who stops when.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    pid: Pid,
    stdout: PathBuf,
    stderr: PathBuf,
}

/// Why a process could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("cannot make the log {path}")]
    Log { path: PathBuf, source: io::Error },
    #[error("cannot start {program}")]
    Program { program: PathBuf, source: io::Error },
}

impl Process {
    /// Starts `command`; its output goes to `<logs>/<name>.out` and `<logs>/<name>.err`, appended
    /// to what an earlier process of that name left there.
    pub fn start(name: &str, command: Command, logs: &Path) -> Result<Self, StartError> {
        let stderr = append(&logs.join(format!("{name}.err")))?;
        Self::start_telling(name, command, logs, stderr)
    }

    /// The same, but standard error is `stderr`, and nobody's to read but the caller's.
    pub fn start_telling(
        name: &str,
        mut command: Command,
        logs: &Path,
        stderr: impl Into<Stdio>,
    ) -> Result<Self, StartError> {
        let stdout = logs.join(format!("{name}.out"));
        command.stdin(Stdio::null()).stdout(append(&stdout)?).stderr(stderr).process_group(0);
        let stderr = logs.join(format!("{name}.err"));
        let program = PathBuf::from(command.get_program());
        let child = die_with_parent::spawn(command)
            .map_err(|source| StartError::Program { program, source })?;
        let pid = Pid::from_child(&child);
        Ok(Self { name: name.to_owned(), child, pid, stdout, stderr })
    }

    /// The name it was started under.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has written to standard output so far.
    pub fn stdout(&self) -> String {
        read(&self.stdout)
    }

    /// What it has written to standard error so far.
    pub fn stderr(&self) -> String {
        read(&self.stderr)
    }

    /// The last `lines` lines of standard error, for the message of a failure.
    pub fn last_words(&self, lines: usize) -> String {
        let all = self.stderr();
        let skipped = all.lines().count().saturating_sub(lines);
        all.lines().skip(skipped).collect::<Vec<_>>().join("\n")
    }

    /// Tells it that its terminal has closed.
    pub fn hang_up(&self) -> io::Result<()> {
        self.signal(Signal::HUP)
    }

    /// Asks it to end (SIGTERM).
    pub fn terminate(&self) -> io::Result<()> {
        self.signal(Signal::TERM)
    }

    /// Ends it without warning (SIGKILL) and waits until it is gone.
    pub fn kill(&mut self) -> io::Result<ExitStatus> {
        self.child.kill()?;
        self.child.wait()
    }

    /// Stops it where it is (SIGSTOP), as a hung process or a frozen node looks from outside.
    pub fn pause(&self) -> io::Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets it go on after [`Process::pause`] (SIGCONT).
    pub fn resume(&self) -> io::Result<()> {
        self.signal(Signal::CONT)
    }

    /// Whether it has ended, and how.
    pub fn exit_status(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Waits until it has ended by itself, at most `within`.
    pub async fn exited(&mut self, within: Duration) -> Result<ExitStatus, NeverHappened> {
        let what = format!("the end of {}", self.name);
        eventually(&what, within, async || self.child.try_wait().ok().flatten()).await
    }

    /// The processor time and memory it has used so far.
    pub fn usage(&self) -> io::Result<Usage> {
        Usage::of(self.child.id())
    }

    fn signal(&self, signal: Signal) -> io::Result<()> {
        // The child is reaped only through `&mut self`, so until then its id is not reused.
        Ok(kill_process(self.pid, signal)?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // An error means that it has ended and was waited for already.
        let _ended = self.kill();
    }
}

fn append(path: &Path) -> Result<File, StartError> {
    let opened = File::options().create(true).append(true).open(path);
    opened.map_err(|source| StartError::Log { path: path.to_owned(), source })
}

/// Logs are for messages: what is missing or not UTF-8 is shown as well as it can be.
fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests;
