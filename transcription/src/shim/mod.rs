//! Our own C++ beside `tch`: the calls of libtorch that it does not have. Knows nothing of networks or songs.
//!
//! Every call answers whether it was done; no exception crosses. `build.rs` compiles it with libtorch's headers.

use std::ffi::c_int;

use tch::Device;

#[expect(
    unsafe_code,
    reason = "the shim's functions are written beside this file, with these signatures"
)]
unsafe extern "C" {
    fn wtt_free_memory(index: c_int, free_bytes: *mut u64, cached_bytes: *mut u64) -> c_int;
    fn wtt_empty_cache() -> c_int;
    fn wtt_allow_tf32(allow: c_int) -> c_int;
    fn wtt_tf32_allowed(allowed: *mut c_int) -> c_int;
    fn wtt_autocast_bf16(on_gpu: c_int, enabled: c_int, before: *mut c_int) -> c_int;
}

/// Bytes that a GPU could still give: free ones, and those that libtorch holds without using them.
pub(crate) fn free_on_gpu(index: usize) -> Option<u64> {
    let (mut free, mut cached) = (0, 0);
    let index = c_int::try_from(index).ok()?;
    #[expect(
        unsafe_code,
        reason = "both pointers are to live numbers, written before the call returns"
    )]
    let answer = unsafe { wtt_free_memory(index, &raw mut free, &raw mut cached) };
    (answer == 0).then(|| free.saturating_add(cached))
}

/// Gives unused memory of the GPU back to its driver; false where there is none.
pub(crate) fn empty_cache() -> bool {
    #[expect(unsafe_code, reason = "takes nothing and catches every exception")]
    let answer = unsafe { wtt_empty_cache() };
    answer == 0
}

/// Whether GPU products of float32 may be shortened; for the whole process. False: libtorch refused.
pub(crate) fn allow_tf32(allow: bool) -> bool {
    #[expect(unsafe_code, reason = "takes a number and catches every exception")]
    let answer = unsafe { wtt_allow_tf32(c_int::from(allow)) };
    answer == 0
}

/// As libtorch has it now.
pub(crate) fn tf32_allowed() -> Option<bool> {
    let mut allowed = 0;
    #[expect(
        unsafe_code,
        reason = "the pointer is to a live number, written before the call returns"
    )]
    let answer = unsafe { wtt_tf32_allowed(&raw mut allowed) };
    (answer == 0).then_some(allowed != 0)
}

/// While it lives, layers that this thread runs on the device are computed in bfloat16, or surely not. Afterwards as before.
pub struct Autocast {
    on_gpu: c_int,
    before: bool,
    /// The switch is the thread's own: it must be turned back where it was turned.
    _here: std::marker::PhantomData<*const ()>,
}

impl Autocast {
    pub fn bf16(device: Device) -> Self {
        Self::set(device, true)
    }

    /// For parts that need float32 whatever was asked for.
    pub fn suspended(device: Device) -> Self {
        Self::set(device, false)
    }

    fn set(device: Device, enabled: bool) -> Self {
        let on_gpu = c_int::from(device != Device::Cpu);
        Autocast {
            on_gpu,
            before: switch(on_gpu, enabled),
            _here: std::marker::PhantomData,
        }
    }
}

impl Drop for Autocast {
    fn drop(&mut self) {
        switch(self.on_gpu, self.before);
    }
}

/// Gives how it was before.
fn switch(on_gpu: c_int, enabled: bool) -> bool {
    let mut before = 0;
    #[expect(
        unsafe_code,
        reason = "the pointer is to a live number, written before the call returns"
    )]
    let answer = unsafe { wtt_autocast_bf16(on_gpu, c_int::from(enabled), &raw mut before) };
    if answer != 0 {
        tracing::warn!(enabled, "libtorch does not switch to bfloat16 here");
    }
    before != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Kind, Tensor};

    #[test]
    fn tf32_is_off_when_it_was_turned_off() {
        assert!(allow_tf32(true));
        assert_eq!(tf32_allowed(), Some(true));
        assert!(allow_tf32(false));
        assert_eq!(tf32_allowed(), Some(false));
    }

    /// Each of these throws inside libtorch where no GPU is.
    #[test]
    fn without_a_gpu_the_calls_say_so_and_throw_nothing() {
        if !tch::Cuda::is_available() {
            assert_eq!(free_on_gpu(0), None);
            assert!(!empty_cache());
        }
    }

    #[test]
    fn autocast_holds_for_as_long_as_its_guard() {
        let a = Tensor::ones([4, 4], (Kind::Float, Device::Cpu));
        let guard = Autocast::bf16(Device::Cpu);
        assert_eq!(a.matmul(&a).kind(), Kind::BFloat16);
        let exact = Autocast::suspended(Device::Cpu);
        assert_eq!(a.matmul(&a).kind(), Kind::Float);
        drop(exact);
        assert_eq!(a.matmul(&a).kind(), Kind::BFloat16);
        drop(guard);
        assert_eq!(a.matmul(&a).kind(), Kind::Float);
    }
}
