//! Room for the daemon's files: every port has a socket and a link, and a node has hundreds of pods.
//!
//! The table of a process's files grows by doubling, and in a process with threads each time waits for an RCU grace period, in whoever
//! opens one file too many: the 10 ms of some pod. So it is grown once, while there are no threads.

use std::fs::File;

use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Files of a thousand ports, and of who asks.
const TABLE: u64 = 4096;

/// Raises the limit on open files as far as this process may, and makes room for many at once. What cannot be had is found out by the
/// port that lacks it.
pub(super) fn make_room() {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return };
    let limit = if setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok() { hard } else { soft };
    let last = TABLE.min(limit).saturating_sub(1);
    // A file under the last number, for a moment.
    if let (Ok(file), Ok(last)) = (File::open("/dev/null"), i32::try_from(last))
        && let Ok(number) = fcntl(&file, FcntlArg::F_DUPFD_CLOEXEC(last))
    {
        let _ = nix::unistd::close(number);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn there_is_room_for_many_files_and_none_of_them_is_left_open() {
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        make_room();
        assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).unwrap(), (hard, hard));
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let size = status.lines().find_map(|line| line.strip_prefix("FDSize:")).unwrap();
        assert!(size.trim().parse::<u64>().unwrap() >= TABLE.min(hard), "{size}");
        assert!(!fs::exists(format!("/proc/self/fd/{}", TABLE.min(hard) - 1)).unwrap());
    }
}
