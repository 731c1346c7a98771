//! Children that cannot outlive this process, even when it is killed.
//!
//! Linux sends a child its "parent died" signal when the *thread* that forked it ends, so a child
//! forked by a test's thread or by a pool's thread would die too early. One thread, which lives as
//! long as the process, therefore forks all of them.
#![allow(unsafe_code, reason = "a hook between fork and exec is unsafe in std; see `arm`")]

use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command};
use std::sync::{OnceLock, mpsc};
use std::{io, thread};

use rustix::process::{Pid, Signal, getpid, getppid, set_parent_process_death_signal};

/// A command to start, and where its child is awaited.
type Order = (Command, mpsc::Sender<io::Result<Child>>);

static FORKS: OnceLock<mpsc::Sender<Order>> = OnceLock::new();

/// Starts `command` as a child that the kernel kills when this process ends, however it ends.
pub(super) fn spawn(mut command: Command) -> io::Result<Child> {
    arm(&mut command, getpid());
    let forks = FORKS.get_or_init(|| {
        let (orders, inbox) = mpsc::channel::<Order>();
        thread::spawn(move || {
            for (mut command, reply) in inbox {
                // An asker that has gone away has nobody left to tell.
                let _gone = reply.send(command.spawn());
            }
        });
        orders
    });
    let (reply, child) = mpsc::channel();
    let ended = || io::Error::other("the thread that starts processes has ended");
    forks.send((command, reply)).map_err(|_| ended())?;
    child.recv().map_err(|_| ended())?
}

/// Makes the child ask for SIGKILL at its parent's death, and checks that `parent` still lives:
/// it may have died between the fork and the request.
fn arm(command: &mut Command, parent: Pid) {
    let hook = move || {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        if getppid() == Some(parent) {
            Ok(())
        } else {
            Err(io::Error::from(rustix::io::Errno::CHILD))
        }
    };
    // SAFETY: between fork and exec only async-signal-safe calls are allowed. The hook makes two
    // bare system calls, prctl and getppid, and allocates nothing: both errors are plain numbers.
    unsafe {
        command.pre_exec(hook);
    }
}
