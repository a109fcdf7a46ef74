//! Cache hints as safe calls, so that crates without `unsafe` can give them.

use crate::frame::Frame;

/// Asks the cache for the first line of a packet.
#[inline]
pub fn prefetch(frame: &Frame) {
    line(frame.start().as_ptr());
}

/// Asks the cache for the first line of a value.
#[inline]
pub fn prefetch_of<T>(value: &T) {
    line(std::ptr::from_ref(value).cast());
}

#[inline]
fn line(at: *const u8) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY:
        // * A prefetch is a hint: it faults on no address and changes nothing a program can see. SSE is x86-64's base.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}
