//! What the service manager is told (sd_notify(3)): that the daemon is ready, and which process it is by now.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Says that this process answers and is the service's main one: after a hand-over it is another than the manager started. Without a
/// manager that listens nothing is said.
pub(crate) fn ready() {
    let Some(place) = env::var_os("NOTIFY_SOCKET") else { return };
    if let Err(error) = send(&place, &format!("MAINPID={}\nREADY=1", std::process::id())) {
        tracing::warn!(%error, "the service manager was not told that the daemon is ready");
    }
}

fn send(place: &OsStr, state: &str) -> io::Result<()> {
    let address = match place.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(place)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.send_to_addr(state.as_bytes(), &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manager_hears_it_by_path_and_by_abstract_name() {
        let path = env::temp_dir().join(format!("podlane-notify-{}", std::process::id()));
        let by_path = UnixDatagram::bind(&path).unwrap();
        send(path.as_os_str(), "READY=1").unwrap();
        std::fs::remove_file(&path).unwrap();
        let name = format!("podlane-notify-{}", std::process::id());
        let abstractly = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        send(OsStr::new(&format!("@{name}")), "READY=1").unwrap();
        for manager in [by_path, abstractly] {
            let mut heard = [0; 16];
            let length = manager.recv(&mut heard).unwrap();
            assert_eq!(heard[..length], *b"READY=1");
        }
        assert!(send(path.as_os_str(), "READY=1").is_err(), "nobody listens");
    }
}
