//! `--keep` with two nodes: which names there are, and how to look at either switch.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use podlane_host::Pinned;

use super::cast::{Node, Pod};
use super::ground::{Ground, pin_name};
use crate::demo::keep::{KeepError, wait_for};
use crate::demo::pods::Family;

/// Names all namespaces, says what to try, and comes back when `stop` is set; the names are gone then, as they are after
/// an error or a panic.
pub(crate) fn until_told(ground: &Ground, sockets: &[PathBuf], json: bool, stop: &AtomicBool) -> Result<(), KeepError> {
    let pins = ground.pin()?;
    let text = invitation(sockets);
    // standard output belongs to the one JSON object
    if json {
        io::stderr().write_all(text.as_bytes())?;
    } else {
        io::stdout().write_all(text.as_bytes())?;
        io::stdout().flush()?;
    }
    wait_for(stop);
    let removed: Vec<_> = pins.into_iter().map(Pinned::remove).collect();
    Ok(removed.into_iter().collect::<Result<_, _>>()?)
}

/// The commands to try.
fn invitation(sockets: &[PathBuf]) -> String {
    let inside = |of: &str, what: String| format!("   ip netns exec {} {what}\n", pin_name(of));
    let mut text = "\n The demo stays up. In another terminal, as root, try\n".to_owned();
    text += &inside(Pod::Red.name(), format!("ping {}", Pod::Blue.address(Family::V4)));
    text += &inside(Pod::Gray.name(), format!("ping {}", Pod::Red.address(Family::V6)));
    text += &inside(Node::Linux.name(), "bridge fdb show dev vxlan7".to_owned());
    for question in ["tunnels", "neighbours", "flows", "ports", "counters"] {
        for socket in sockets.iter().take(if question == "tunnels" { 2 } else { 1 }) {
            text += &format!("   podlane {question} --socket {}\n", socket.display());
        }
    }
    text + " and press Ctrl-C here to remove everything.\n"
}
