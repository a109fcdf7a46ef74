//! The system calls of this crate as safe functions with `io::Result`.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use crate::abi::{AF_XDP, SockaddrXdp};

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// A memory file of `bytes`, sealed against any change of size.
pub(crate) fn memory_file(name: &CStr, bytes: usize, flags: libc::c_uint) -> io::Result<File> {
    let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING | flags;
    // SAFETY:
    // * The name is a C string; the call keeps no pointer to it.
    let fd = check(unsafe { libc::memfd_create(name.as_ptr(), flags) })?;
    // SAFETY:
    // * The descriptor is open, fresh and owned by nobody else.
    let file = File::from(unsafe { OwnedFd::from_raw_fd(fd) });
    file.set_len(bytes as u64)?;
    let seals = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
    // SAFETY:
    // * `F_ADD_SEALS` takes an int and no pointer; the descriptor is open.
    check(unsafe { libc::fcntl(fd, libc::F_ADD_SEALS, seals) })?;
    Ok(file)
}

/// Refuses a file that is not a memory file of at least `bytes`, sealed against shrinking: a mapping of it could turn reads into
/// SIGBUS.
pub(crate) fn check_memory_file(file: &File, bytes: usize) -> io::Result<()> {
    // SAFETY:
    // * `F_GET_SEALS` takes no argument; the descriptor is open.
    let seals = check(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GET_SEALS) })?;
    if seals & libc::F_SEAL_SHRINK == 0 {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the memory file is not sealed against shrinking"));
    }
    let len = file.metadata()?.len();
    if len < bytes as u64 {
        let text = format!("the memory file has {len} bytes where {bytes} are needed");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    Ok(())
}

/// A socket, closed on exec.
pub(crate) fn socket(family: libc::c_int, protocol: libc::c_int) -> io::Result<OwnedFd> {
    // SAFETY:
    // * The call takes no pointers.
    let fd = check(unsafe { libc::socket(family, libc::SOCK_RAW | libc::SOCK_CLOEXEC, protocol) })?;
    // SAFETY:
    // * The descriptor is open, fresh and owned by nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Sets a socket option to a value the kernel copies.
pub(crate) fn set_option<T: Copy>(fd: impl AsFd, level: libc::c_int, name: libc::c_int, value: &T) -> io::Result<()> {
    // SAFETY:
    // * The pointer and length describe `value`, which lives through the call; the kernel only reads it.
    let result = unsafe {
        libc::setsockopt(
            fd.as_fd().as_raw_fd(),
            level,
            name,
            std::ptr::from_ref(value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    };
    check(result).map(drop)
}

/// Plain integers all the way through: any bytes the kernel writes into one are a value.
///
/// # Safety
/// Implemented only for types without padding-sensitive or invalid bit patterns.
pub(crate) unsafe trait Plain: Copy + Default {}

// SAFETY:
// * An int has no invalid bit pattern.
unsafe impl Plain for libc::c_int {}
// SAFETY:
// * `repr(C)`, of `u64` fields only.
unsafe impl Plain for crate::abi::MmapOffsets {}
// SAFETY:
// * `repr(C)`, of `u64` fields only.
unsafe impl Plain for crate::abi::XdpStatistics {}
// SAFETY:
// * `repr(C)`, of one `u32`.
unsafe impl Plain for crate::abi::Options {}

/// Reads a socket option, and how many bytes of it the kernel filled in.
pub(crate) fn option<T: Plain>(fd: impl AsFd, level: libc::c_int, name: libc::c_int) -> io::Result<(T, usize)> {
    let mut value = T::default();
    let mut len = size_of::<T>() as libc::socklen_t;
    // SAFETY:
    // * The pointers describe `value` and `len`, alive and exclusively ours; the kernel writes at most `len` bytes.
    // * `T` is `Plain`: whatever is written is a value of it.
    let result = unsafe {
        libc::getsockopt(fd.as_fd().as_raw_fd(), level, name, std::ptr::from_mut(&mut value).cast(), &raw mut len)
    };
    check(result)?;
    Ok((value, len as usize))
}

/// Binds an AF_XDP socket.
pub(crate) fn bind(fd: impl AsFd, flags: u16, ifindex: u32, queue_id: u32, shared_umem_fd: u32) -> io::Result<()> {
    let address = SockaddrXdp { family: AF_XDP as u16, flags, ifindex, queue_id, shared_umem_fd };
    // SAFETY:
    // * The pointer and length describe `address`, which lives through the call; the kernel only reads it.
    let result = unsafe {
        libc::bind(
            fd.as_fd().as_raw_fd(),
            std::ptr::from_ref(&address).cast(),
            size_of::<SockaddrXdp>() as libc::socklen_t,
        )
    };
    check(result).map(drop)
}

/// Binds a packet socket to every protocol of a netdev.
pub(crate) fn bind_packet(fd: impl AsFd, ifindex: u32) -> io::Result<()> {
    let address = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as libc::c_ushort,
        sll_protocol: (libc::ETH_P_ALL as u16).to_be(),
        sll_ifindex: ifindex as libc::c_int,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    // SAFETY:
    // * The pointer and length describe `address`, which lives through the call; the kernel only reads it.
    let result = unsafe {
        libc::bind(
            fd.as_fd().as_raw_fd(),
            std::ptr::from_ref(&address).cast(),
            size_of::<libc::sockaddr_ll>() as libc::socklen_t,
        )
    };
    check(result).map(drop)
}

/// Has a socket receive only what a classic filter keeps.
pub(crate) fn attach_filter(fd: impl AsFd, filter: &[libc::sock_filter]) -> io::Result<()> {
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
    // The kernel copies the filter, which lives through the call, and does not write to it.
    set_option(fd, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)
}

/// Frames that a packet socket had no room for since this was last asked.
pub(crate) fn packet_drops(fd: impl AsFd) -> io::Result<u32> {
    let (counted, _) = option::<PacketCounts>(fd, libc::SOL_PACKET, libc::PACKET_STATISTICS)?;
    Ok(counted.drops)
}

/// `struct tpacket_stats`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct PacketCounts {
    packets: u32,
    drops: u32,
}

// SAFETY:
// * `repr(C)`, of `u32` fields only.
unsafe impl Plain for PacketCounts {}

/// Tells the kernel to look at the tx ring.
pub(crate) fn kick_transmit(fd: impl AsFd) -> io::Result<()> {
    // SAFETY:
    // * An empty message: the null pointers come with length zero.
    let result =
        unsafe { libc::sendto(fd.as_fd().as_raw_fd(), std::ptr::null(), 0, libc::MSG_DONTWAIT, std::ptr::null(), 0) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Tells the kernel to look at the fill ring.
pub(crate) fn kick_receive(fd: impl AsFd) -> io::Result<()> {
    // SAFETY:
    // * An empty buffer: the null pointers come with length zero.
    let result = unsafe {
        libc::recvfrom(
            fd.as_fd().as_raw_fd(),
            std::ptr::null_mut(),
            0,
            libc::MSG_DONTWAIT,
            std::ptr::null_mut(),
            std::ptr::null_mut(),
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
