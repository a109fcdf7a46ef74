//! Keeps the workers' memory registered with the kernel while no pod is there.
//!
//! The first socket of a memory registers it, which pins every page of it: some milliseconds for 64 MiB. The next ones join, and with
//! the last one it is forgotten. On a node whose pods come and go one at a time each would pay for it. So each worker's memory has one
//! socket that stays: without a frame, on the loopback of a network namespace that nobody else is in.

use podlane_host::{Links, Netns};
use podlane_rings::{AskMode, FramePool, Socket, SocketConfig};

use super::crew::Workers;

/// The loopback's index in every namespace.
const LOOPBACK: u32 = 1;

/// Slots of each ring: the least there can be.
const RING: u32 = 2;

/// One worker's, and where it is: one queue has one socket, so that each is on a loopback of its own.
struct Kept {
    _socket: Socket,
    _netns: Netns,
}

/// What stays.
pub(super) struct Founder {
    _kept: Vec<Kept>,
}

impl Founder {
    /// Registers the memory of each worker, as the sockets of pods with an ordinary MTU do. Where that cannot be, the first pod does it,
    /// and says what is wrong if it cannot either.
    pub(super) fn of(workers: &Workers) -> Option<Self> {
        let mut pools = workers.lend(0).ok()?;
        let kept = pools.iter_mut().map(found).collect::<Option<_>>();
        workers.give_back(pools);
        Some(Self { _kept: kept? })
    }
}

/// Opens the socket of one memory, whose pool has no frame to lend.
fn found(pool: &mut FramePool) -> Option<Kept> {
    let config = SocketConfig {
        rx: RING,
        tx: RING,
        fill: RING,
        completion: RING,
        mode: AskMode::Copy,
        multi_buffer: false,
        checksum_offload: true,
        ..SocketConfig::new(LOOPBACK, 0)
    };
    let netns = Netns::anonymous().ok()?;
    let opened = netns.run(|| {
        Links::open().and_then(|mut links| links.set_up(LOOPBACK)).ok()?;
        Socket::open(pool, &config).ok()
    });
    Some(Kept { _socket: opened.ok()??, _netns: netns })
}

#[cfg(test)]
mod tests {
    use podlane_host::lab::skip;
    use podlane_rings::{Umem, UmemConfig};

    use super::*;

    #[test]
    fn a_memory_is_registered_without_lending_a_frame() {
        if skip("a_memory_is_registered_without_lending_a_frame") {
            return;
        }
        let (_umem, mut pool) = Umem::create(&UmemConfig { frames: 64, ..UmemConfig::default() }).unwrap();
        let mut lent = pool.lend(0);
        let _kept = found(&mut lent).unwrap();
        pool.absorb(lent);
        assert_eq!(pool.free(), 64);
        // A second memory has a loopback of its own, and does not wait for the first one's.
        let (_umem, mut other) = Umem::create(&UmemConfig { frames: 64, ..UmemConfig::default() }).unwrap();
        assert!(found(&mut other.lend(0)).is_some());
    }
}
