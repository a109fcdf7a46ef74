//! What a turn owes a socket: waking the kernel, bringing sent frames home, lending fresh ones.

use std::io;
use std::sync::atomic::Ordering;

use crate::error::SocketError;
use crate::pool::FramePool;
use crate::slots::Lent;
use crate::socket::Socket;
use crate::sys;

impl Socket {
    /// What a turn owes the socket: wakes the kernel if something waits to be sent, brings sent frames home, and lends
    /// fresh ones for receiving.
    ///
    /// # Errors
    /// [`SocketError::DeviceGone`] or [`SocketError::Wake`]: close the socket. A netdev that is merely down is no error; what
    /// was to be sent waits.
    ///
    /// # Panics
    /// If the pool is of another memory.
    #[inline]
    pub fn settle(&mut self, pool: &mut FramePool) -> Result<(), SocketError> {
        self.expect_own(pool);
        let woken = self.wake_transmit();
        self.collect(pool);
        self.refill(pool);
        woken.and_then(|()| self.wake_receive())
    }

    /// Wakes the kernel where it waits for us, and nothing else; for a worker about to nap.
    ///
    /// # Errors
    /// As [`settle`](Self::settle).
    #[inline]
    pub fn wake(&mut self) -> Result<(), SocketError> {
        self.wake_transmit().and_then(|()| self.wake_receive())
    }

    /// Brings sent frames home.
    #[inline]
    pub(super) fn collect(&mut self, pool: &mut FramePool) {
        if self.tx_lent == 0 {
            return;
        }
        let sent = self.completion.available(self.tx_lent);
        if sent == 0 {
            return;
        }
        let region = &*self.umem.region;
        let (lent, shift) = (region.slots.borrower(self.number, Lent::Tx), region.size().shift());
        let reader = self.completion.reader();
        let mut home = 0;
        for at in 0..sent {
            let slot = reader.read(at) >> shift;
            if lent.take_back(slot) {
                home += 1;
                pool.give_slot(slot as u32);
            }
        }
        self.tx_lent -= home;
        self.refused += u64::from(sent - home);
        self.completion.release(sent);
    }

    /// Lends frames until as many are out as the fill ring holds, or the pool is empty.
    #[inline]
    pub(crate) fn refill(&mut self, pool: &mut FramePool) {
        let missing = self.fill_target - self.fill_lent;
        if missing == 0 {
            return;
        }
        let room = self.fill.room(missing).min(missing);
        let region = &*self.umem.region;
        let (borrower, shift) = (region.slots.borrower(self.number, Lent::Fill), region.size().shift());
        let writer = self.fill.writer();
        let mut lent = 0;
        while lent < room {
            let Some(slot) = pool.take_slot() else { break };
            borrower.lend(slot);
            writer.write(lent, u64::from(slot) << shift);
            lent += 1;
        }
        if lent > 0 {
            self.fill.publish(lent);
            self.fill_lent += lent;
        }
    }

    #[inline]
    fn wake_transmit(&mut self) -> Result<(), SocketError> {
        if self.zero_copy {
            if self.tx_lent > 0 && self.tx.needs_wakeup() { self.kick_zero_copy() } else { Ok(()) }
        } else if self.unsent {
            self.kick_copy()
        } else {
            Ok(())
        }
    }

    /// A NIC needs one call; it then works on its own.
    fn kick_zero_copy(&mut self) -> Result<(), SocketError> {
        self.wakeups += 1;
        self.judge(sys::kick_transmit(&*self.fd))
    }

    /// In copy mode the call does the sending, up to the kernel's budget, and says EAGAIN when more is left. So it is
    /// repeated while it gets somewhere, up to a bound; what is left then goes with the next turn.
    fn kick_copy(&mut self) -> Result<(), SocketError> {
        let mut left = self.tx.unconsumed();
        for _ in 0..self.max_kicks {
            self.wakeups += 1;
            let answer = sys::kick_transmit(&*self.fd);
            let now = self.tx.unconsumed();
            if now == 0 {
                self.unsent = false;
            }
            if answer.is_ok() || now == 0 || now == left {
                return self.judge(answer);
            }
            left = now;
        }
        Ok(())
    }

    #[inline]
    fn wake_receive(&mut self) -> Result<(), SocketError> {
        if self.busy_poll || self.fill.needs_wakeup() {
            self.wakeups += 1;
            let answer = sys::kick_receive(&*self.fd);
            return self.judge(answer);
        }
        Ok(())
    }

    /// Sorts the kernel's answer to a wake-up: passing, or for good.
    #[inline]
    fn judge(&self, answer: io::Result<()>) -> Result<(), SocketError> {
        let Err(source) = answer else { return Ok(()) };
        let at = self.at;
        match source.raw_os_error() {
            // More is left, a packet was dropped by the netdev, memory is short, or the netdev is down: all pass.
            Some(libc::EAGAIN | libc::EBUSY | libc::ENOBUFS | libc::ENOMEM | libc::EINTR | libc::ENETDOWN) => Ok(()),
            Some(libc::ENXIO | libc::ENODEV) => {
                self.gone.store(true, Ordering::Relaxed);
                Err(SocketError::DeviceGone { at })
            }
            _ => Err(SocketError::Wake { at, source }),
        }
    }
}
