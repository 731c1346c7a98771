//! Wakes tasks of one thread to the microsecond.
//!
//! The runtime's timers count milliseconds. On that grid the tokens of many answers would fall together, which no
//! model server's do, and a picker that reads once for many of them would look cheaper than it is.
//!
//! Owns: one timer of the kernel, set to the earliest of the times that tasks wait for.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::future::poll_fn;
use std::io;
use std::os::fd::AsFd as _;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use tokio::net::unix::pipe::Receiver;

use crate::clock;

/// The timer of one thread.
#[derive(Debug)]
pub(super) struct Metronome {
    timer: TimerFd,
    /// The same timer, as the runtime waits for any file descriptor that it is given: as if it were a pipe.
    expiries: Receiver,
    waiting: RefCell<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    /// The earliest first.
    times: BinaryHeap<Reverse<Entry>>,
    /// What the timer is set to.
    set_to: Option<Instant>,
    entries: u64,
}

/// A task that waits. Ordered by time, then by arrival.
#[derive(Debug)]
struct Entry {
    until: Instant,
    nth: u64,
    waker: Waker,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.until, self.nth).cmp(&(other.until, other.nth))
    }
}

impl Metronome {
    /// Makes the timer. Call it within the runtime that waits for it.
    pub(super) fn new() -> io::Result<Self> {
        let timer = TimerFd::new(
            ClockId::CLOCK_MONOTONIC,
            TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC,
        )?;
        let expiries = Receiver::from_owned_fd_unchecked(timer.as_fd().try_clone_to_owned()?)?;
        Ok(Self { timer, expiries, waiting: RefCell::default() })
    }

    /// Waits until `until`; returns at once if that has passed.
    pub(super) async fn sleep_until(&self, until: Instant) -> io::Result<()> {
        if until <= clock::now() {
            return Ok(());
        }
        let mut entered: Option<Waker> = None;
        poll_fn(|context| {
            // A task is also woken for what else it waits for.
            if entered.is_some() && until <= clock::now() {
                return Poll::Ready(Ok(()));
            }
            if entered.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
                return Poll::Pending;
            }
            entered = Some(context.waker().clone());
            Poll::Ready(match self.enter(until, context.waker().clone()) {
                Ok(()) => return Poll::Pending,
                Err(error) => Err(error),
            })
        })
        .await
    }

    /// Wakes those whose time has come, for ever.
    pub(super) async fn run(&self) -> io::Error {
        loop {
            if let Err(error) = self.tick().await {
                return error;
            }
        }
    }

    async fn tick(&self) -> io::Result<()> {
        self.expiries.readable().await?;
        match self.expiries.try_read(&mut [0; 8]) {
            Ok(_count) => {}
            // It was set anew in between.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
        let now = clock::now();
        let mut waiting = self.waiting.borrow_mut();
        while let Some(entry) = waiting.take_due(now) {
            entry.waker.wake();
        }
        waiting.set_to = None;
        let next = waiting.times.peek().map(|Reverse(entry)| entry.until);
        next.map_or(Ok(()), |next| self.set(&mut waiting, next))
    }

    fn enter(&self, until: Instant, waker: Waker) -> io::Result<()> {
        let mut waiting = self.waiting.borrow_mut();
        waiting.entries += 1;
        let nth = waiting.entries;
        waiting.times.push(Reverse(Entry { until, nth, waker }));
        if waiting.set_to.is_some_and(|set_to| set_to <= until) {
            return Ok(());
        }
        self.set(&mut waiting, until)
    }

    fn set(&self, waiting: &mut Waiting, until: Instant) -> io::Result<()> {
        // A time of zero would switch the timer off.
        let wait = until.saturating_duration_since(clock::now()).max(Duration::from_nanos(1));
        waiting.set_to = Some(until);
        Ok(self.timer.set(Expiration::OneShot(wait.into()), TimerSetTimeFlags::empty())?)
    }
}

impl Waiting {
    fn take_due(&mut self, now: Instant) -> Option<Entry> {
        let Reverse(first) = self.times.peek()?;
        if now < first.until {
            return None;
        }
        self.times.pop().map(|Reverse(entry)| entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::runtime;

    #[test]
    fn those_that_wait_are_woken_in_the_order_of_their_times_and_not_early() {
        let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let metronome = Metronome::new().unwrap();
            let start = clock::now();
            let order = RefCell::new(Vec::new());
            let wait = async |micros: u64| {
                let until = start + Duration::from_micros(micros);
                metronome.sleep_until(until).await.unwrap();
                assert!(until <= clock::now());
                order.borrow_mut().push(micros);
            };
            tokio::select! {
                _ = metronome.run() => unreachable!("the timer fails"),
                _ = async { tokio::join!(wait(3000), wait(500), wait(1700), wait(0)) } => {}
            }
            assert_eq!(*order.borrow(), [0, 500, 1700, 3000]);
        });
    }
}
