//! `--keep`: the demo stays up, says how to look at it, and waits to be told to go.

use std::io::{self, Write};
use std::net::IpAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use podlane_host::NetnsError;
use thiserror::Error;

use super::ground::{Ground, Pins};
use super::pods::{Family, Pod};
use super::policy::SERVICE;

/// Between two looks at whether the demo was told to go.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Why a demo could not be kept, or its names not be taken away.
#[derive(Debug, Error)]
pub(crate) enum KeepError {
    /// The namespaces could not be named, or the names not be removed.
    #[error(transparent)]
    Names(#[from] NetnsError),
    /// Nobody could be told.
    #[error("cannot say which commands to try: {0}")]
    Untold(#[from] io::Error),
}

/// Names the pods' namespaces, says what to try, and comes back when `stop` is set; the names are gone
/// then, as they are after an error or a panic.
pub(crate) fn until_told(
    ground: &Ground,
    socket: Option<&Path>,
    json: bool,
    stop: &AtomicBool,
) -> Result<(), KeepError> {
    let pins = ground.pin()?;
    let text = invitation(&pins, socket);
    // standard output belongs to the one JSON object
    if json {
        io::stderr().write_all(text.as_bytes())?;
    } else {
        io::stdout().write_all(text.as_bytes())?;
        io::stdout().flush()?;
    }
    wait_for(stop);
    Ok(pins.remove()?)
}

/// Comes back when the demo was told to go.
pub(crate) fn wait_for(stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        thread::sleep(LOOK_EVERY);
    }
}

/// The commands to try.
fn invitation(pins: &Pins, socket: Option<&Path>) -> String {
    let ping = |from: Pod, to: IpAddr| format!("   ip netns exec {} ping {to}\n", pins.name(from));
    let mut text = "\n The demo stays up. In another terminal, as root, try\n".to_owned();
    text += &ping(Pod::Red, Pod::Green.address(Family::V4));
    text += &ping(Pod::Red, Pod::Blue.address(Family::V6));
    text += &ping(Pod::Blue, Pod::Blue.network().gateway(Family::V4));
    let why = format!("why {} {} {SERVICE}", Pod::Blue.object(), Pod::Red.object());
    for socket in socket.iter().map(|socket| socket.display()) {
        for question in ["ports", "flows", "counters", "connections", "policy denied", &why] {
            text += &format!("   podlane {question} --socket {socket}\n");
        }
    }
    text + " and press Ctrl-C here to remove everything.\n"
}
