//! Which live sockets a new one can join.
//!
//! A memory is registered with the kernel by the first socket of a *group* (mode, multi-buffer, transmit metadata) and
//! joined by the next ones with `XDP_SHARED_UMEM`: a joining socket may carry no flags of its own and inherits the
//! group's. It joins by naming any live bound socket, so the list of those is kept here, by weak reference: a closed
//! socket leaves it by itself. A group that has died, or never was, registers the same memory once more.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Weak};

use crate::slots::SocketNumber;

/// What sockets of one registration have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) zero_copy: bool,
    pub(crate) multi_buffer: bool,
    pub(crate) metadata: bool,
}

struct Sibling {
    group: Group,
    fd: Weak<OwnedFd>,
}

/// The live sockets of a memory, and the numbers they go by.
#[derive(Default)]
pub(crate) struct Siblings {
    live: Vec<Sibling>,
    spare: Vec<SocketNumber>,
    next: u32,
    /// The kernel does not know transmit metadata; it was asked once.
    pub(crate) metadata_refused: bool,
}

impl Siblings {
    /// A number no socket goes by.
    pub(crate) fn number(&mut self) -> Option<SocketNumber> {
        self.spare.pop().or_else(|| {
            let number = SocketNumber::new(self.next)?;
            self.next += 1;
            Some(number)
        })
    }

    /// Numbers below `next` are a former process's: sockets live by them, or slots are lost to them.
    pub(crate) fn number_from(&mut self, next: u32) {
        self.next = self.next.max(next);
    }

    /// A number's socket is no more, and no slot bears its mark.
    pub(crate) fn spare(&mut self, number: SocketNumber) {
        self.spare.push(number);
    }

    pub(crate) fn join(&mut self, group: Group, fd: &Arc<OwnedFd>) {
        let fd = Arc::downgrade(fd);
        self.live.push(Sibling { group, fd });
    }

    pub(crate) fn find(&mut self, group: Group) -> Option<Arc<OwnedFd>> {
        self.live.retain(|sibling| sibling.fd.strong_count() > 0);
        let mut same = self.live.iter().filter(|sibling| sibling.group == group);
        same.find_map(|sibling| sibling.fd.upgrade())
    }

    pub(crate) fn leave(&mut self, fd: &Arc<OwnedFd>) {
        self.live.retain(|sibling| sibling.fd.as_ptr() != Arc::as_ptr(fd));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    fn group(zero_copy: bool) -> Group {
        Group { zero_copy, multi_buffer: true, metadata: true }
    }

    fn socket() -> Arc<OwnedFd> {
        Arc::new(File::open("/dev/null").unwrap().into())
    }

    #[test]
    fn a_socket_joins_a_live_one_of_its_own_group() {
        let mut siblings = Siblings::default();
        let (copy, zero_copy) = (socket(), socket());
        siblings.join(group(false), &copy);
        siblings.join(group(true), &zero_copy);
        assert!(Arc::ptr_eq(&siblings.find(group(true)).unwrap(), &zero_copy));
        drop(zero_copy);
        assert!(siblings.find(group(true)).is_none(), "a closed socket is nobody's sibling");
        siblings.leave(&copy);
        assert!(siblings.find(group(false)).is_none());
    }

    #[test]
    fn a_spared_number_is_given_out_again_and_no_other_twice() {
        let mut siblings = Siblings::default();
        let (first, second) = (siblings.number().unwrap(), siblings.number().unwrap());
        assert_ne!(first, second);
        siblings.spare(first);
        assert_eq!(siblings.number(), Some(first));
        assert_ne!(siblings.number(), Some(second));
    }
}
