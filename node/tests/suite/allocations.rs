//! Counts what a piece of work allocates, on its own thread.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

#[global_allocator]
static COUNTING: Counting = Counting;

/// The system's allocator, with a count kept beside it.
struct Counting;

thread_local! {
    /// Allocations of this thread and their bytes. Without a destructor, so that the allocator can
    /// use it at any moment of the thread's life.
    static MADE: Cell<Allocations> = const { Cell::new(Allocations { count: 0, bytes: 0 }) };
}

/// Allocations that were made; those that grew in place or moved count again, with what they added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Allocations {
    pub(crate) count: u64,
    pub(crate) bytes: u64,
}

/// Runs `work`; answers with what this thread allocated meanwhile.
pub(crate) fn allocations_of<T>(work: impl FnOnce() -> T) -> (T, Allocations) {
    let before = MADE.get();
    let done = work();
    let after = MADE.get();
    let made = Allocations { count: after.count - before.count, bytes: after.bytes - before.bytes };
    (done, made)
}

fn note(bytes: usize) {
    let Allocations { count, bytes: before } = MADE.get();
    MADE.set(Allocations { count: count + 1, bytes: before + bytes as u64 });
}

#[expect(unsafe_code, reason = "an allocator is unsafe by its signature; this one only counts")]
// SAFETY: every call is passed on unchanged to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        note(bytes.saturating_sub(layout.size()));
        // SAFETY: as above.
        unsafe { System.realloc(memory, layout, bytes) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[test]
fn what_is_allocated_is_counted() {
    let (kept, made) = allocations_of(|| (Box::new([0_u8; 100]), Vec::<u64>::with_capacity(3)));
    assert_eq!(made, Allocations { count: 2, bytes: 124 });
    drop(kept);
}
