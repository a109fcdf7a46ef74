//! What of a frame a NIC fills in zero-copy mode, and whether a full packet fits into that.
//!
//! Drivers of one family tell their NIC the size of a receive buffer in whole kibibytes. The kernel keeps 256 bytes of
//! a frame for itself, so of 2,048 they offer 1,024, and drop longer packets without counting them where anybody
//! would look: pings pass and TCP hangs. Seen with igb in `perf/guest`; the kernel does not say it of a device, so the
//! drivers are known by name here.

use std::fs;
use std::path::Path;

use podlane_host::Link;
use podlane_rings::AskMode;
use thiserror::Error;

use super::open::{HEADROOM, LINK_HEADER};
use crate::desired::FrameBytes;

/// Drivers whose NICs (of ixgbe, the 82599) take receive buffers in whole kibibytes.
const WHOLE_KIB: [&str; 3] = ["igb", "igc", "ixgbe"];
const KIB: u32 = 1024;

/// A full packet does not fit into what the NIC fills of a frame.
#[derive(Debug, PartialEq, Eq, Error)]
#[error(
    "{device}: in zero-copy mode {driver} fills {room} bytes of a {frame}-byte frame, and a packet at MTU {mtu} takes \
     {needed}; set `frame_bytes = 4096` under [workers], lower the MTU, or set the port's mode to \"copy\""
)]
pub(super) struct ShortFrames {
    device: String,
    driver: String,
    room: u32,
    frame: u32,
    mtu: u32,
    needed: u32,
}

/// The mode to ask for: what is wished, but never a zero-copy that loses full packets.
///
/// # Errors
/// [`ShortFrames`]: zero-copy or nothing was wished.
pub(super) fn safe_mode(wished: AskMode, link: &Link, frame: FrameBytes) -> Result<AskMode, ShortFrames> {
    match driver(link, Path::new("/sys/class/net")).map_or(Ok(()), |driver| fits(link, driver, frame)) {
        Ok(()) => Ok(wished),
        Err(short) => match wished {
            AskMode::ZeroCopy => Err(short),
            AskMode::Auto => {
                tracing::warn!("copy mode: {short}");
                Ok(AskMode::Copy)
            }
            AskMode::Copy => Ok(wished),
        },
    }
}

fn fits(link: &Link, driver: String, frame: FrameBytes) -> Result<(), ShortFrames> {
    let frame = frame.get();
    let room = (frame - HEADROOM) / KIB * KIB;
    let needed = link.mtu + LINK_HEADER;
    if !WHOLE_KIB.contains(&driver.as_str()) || needed <= room {
        return Ok(());
    }
    Err(ShortFrames { device: link.name.clone(), driver, room, frame, mtu: link.mtu, needed })
}

/// The driver of a NIC. None for a device without one, and for one that is not in the network namespace which the
/// daemon's sysfs shows: the same name there may be another device, so the number is compared too.
fn driver(link: &Link, devices: &Path) -> Option<String> {
    let device = devices.join(&link.name);
    let index = fs::read_to_string(device.join("ifindex")).ok()?;
    if index.trim().parse() != Ok(link.index) {
        return None;
    }
    Some(fs::read_link(device.join("device/driver")).ok()?.file_name()?.to_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nic(mtu: u32) -> Link {
        Link {
            index: 7,
            name: "uplink".into(),
            mtu,
            alias: None,
            mac: None,
            kind: None,
            rx_queues: 1,
            tx_queues: 1,
            up: true,
            carrier: true,
            master: None,
            peer: None,
            peer_netns: None,
        }
    }

    #[test]
    fn a_full_packet_needs_a_large_frame_where_buffers_are_whole_kibibytes() {
        let refused = fits(&nic(1500), "igb".into(), FrameBytes::TwoKiB).unwrap_err();
        assert_eq!((refused.room, refused.needed), (1024, 1522));
        assert_eq!(fits(&nic(1500), "igb".into(), FrameBytes::FourKiB), Ok(()));
        assert_eq!(fits(&nic(1500), "virtio_net".into(), FrameBytes::TwoKiB), Ok(()));
        assert_eq!(fits(&nic(1000), "igc".into(), FrameBytes::TwoKiB), Ok(()));
        assert!(fits(&nic(3500), "ixgbe".into(), FrameBytes::FourKiB).is_err());
    }

    #[test]
    fn a_device_without_a_driver_is_asked_for_what_is_wished() {
        let wished =
            safe_mode(AskMode::ZeroCopy, &Link { name: "lo".into(), index: 1, ..nic(65_536) }, FrameBytes::TwoKiB);
        assert_eq!(wished, Ok(AskMode::ZeroCopy));
    }

    #[test]
    fn another_device_of_the_same_name_says_nothing_of_ours() {
        let devices = std::env::temp_dir().join(format!("podlane-room-{}", std::process::id()));
        let device = devices.join("uplink/device");
        fs::create_dir_all(&device).unwrap();
        std::os::unix::fs::symlink("../../drivers/igb", device.join("driver")).unwrap();
        fs::write(devices.join("uplink/ifindex"), "7\n").unwrap();
        let named = driver(&nic(1500), &devices);
        fs::write(devices.join("uplink/ifindex"), "8\n").unwrap();
        let other = driver(&nic(1500), &devices);
        fs::remove_dir_all(&devices).unwrap();
        assert_eq!((named.as_deref(), other), (Some("igb"), None));
    }
}
