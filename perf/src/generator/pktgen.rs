//! The kernel's own generator, where it has one (`pktgen`, a module): it is told by text in files, and tells by text.
//!
//! Its packets carry no stamp of ours, so all that can be told of them is how many left. It counts through all ranges at once, where
//! our own generator counts through their product. What it cannot make is refused instead of made differently.
//!
//! Source: the kernel's Documentation/networking/pktgen.rst.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    net::IpAddr,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::{Duration, Instant},
};

use thiserror::Error;

use super::{
    analyse::Arrivals,
    clock::Nanos,
    outcome::{Ended, Outcome},
    pace::{Rate, Until},
    send::Departures,
};
use crate::traffic::{
    Carried, Range, Sizes, Template, Traffic,
    template::{CHECK_SEQUENCE, IMIX},
};

/// Where the kernel has it, in the namespace of the calling thread (`/proc/net` would be the first thread's).
const FOLDER: &str = "/proc/thread-self/net/pktgen";

/// Between two looks at whether the run is over.
const LOOK: Duration = Duration::from_millis(20);

/// How long after its time a run may still send what belongs to it, at least: its thread has to be woken first.
const GRACE: Duration = Duration::from_secs(1);

/// Why pktgen did not send.
#[derive(Debug, Error)]
pub enum PktgenError {
    /// The module is not there.
    #[error("this kernel has no pktgen: {} is not there; load it (modprobe pktgen), or take --engine af-xdp", .folder.display())]
    Absent {
        /// Where it was looked for.
        folder: PathBuf,
    },
    /// It cannot make such packets.
    #[error("pktgen cannot make {what}; take --engine af-xdp")]
    Unable {
        /// What it cannot.
        what: &'static str,
    },
    /// It refuses a command.
    #[error("pktgen refuses `{command}` in {}: {source}; check that the device is up and that you are root", .file.display())]
    Command {
        /// Which file.
        file: PathBuf,
        /// What was written.
        command: String,
        /// What the kernel says.
        source: io::Error,
    },
    /// It tells no result.
    #[error("pktgen tells no result in {}: {what}; look into it and into the kernel's log", .file.display())]
    Result {
        /// Which file.
        file: PathBuf,
        /// What was found.
        what: String,
    },
}

/// The kernel's generator.
pub struct Pktgen {
    folder: PathBuf,
    thread: usize,
}

impl Pktgen {
    /// This kernel's, with its thread of a core.
    #[must_use]
    pub fn of_kernel(core: usize) -> Self {
        Self::at(FOLDER, core)
    }

    /// One whose files are in another folder.
    #[must_use]
    pub fn at(folder: impl Into<PathBuf>, core: usize) -> Self {
        Self { folder: folder.into(), thread: core }
    }

    /// Sends, and returns when it has. Call it in the device's namespace.
    ///
    /// # Errors
    /// [`PktgenError`], with the remedy.
    pub fn send(
        &self,
        device: &str,
        frames: &Traffic,
        (offered, until): (Rate, Until),
        stop: &AtomicBool,
    ) -> Result<Outcome, PktgenError> {
        let Some(template) = frames.template() else {
            return Err(PktgenError::Unable { what: "packets of a capture" });
        };
        let commands = commands(template, offered, until)?;
        let control = self.folder.join("pgctrl");
        if !control.exists() {
            return Err(PktgenError::Absent { folder: self.folder.clone() });
        }
        let thread = self.folder.join(format!("kpktgend_{}", self.thread));
        write(&thread, "rem_device_all")?;
        let file = self.folder.join(device);
        let departures = write(&thread, &format!("add_device {device}"))
            .and_then(|()| commands.iter().try_for_each(|command| write(&file, command)))
            .and_then(|()| self.run(&control, deadline(offered, until), stop))
            .and_then(|()| result(&file));
        // The device is given back also after a failure, and the first error is the one to tell.
        let given_back = write(&thread, "rem_device_all");
        let departures = departures?;
        given_back?;
        let length = match until {
            Until::Time(length) if offered != Rate::Maximum => Some(Nanos::from(length)),
            _ => None,
        };
        let asked = match until {
            Until::Packets(packets) => Some(packets),
            Until::Time(_) => None,
        };
        let ended = if stop.load(Relaxed) { Ended::Interrupted } else { Ended::Whole };
        Ok(Outcome { asked, ended, stamped: false, ..Outcome::new(offered, length, departures, Arrivals::default()) })
    }

    /// Starts it and waits: the write of `start` returns when all has been sent or `stop` was written.
    fn run(&self, control: &Path, deadline: Option<Duration>, stop: &AtomicBool) -> Result<(), PktgenError> {
        let begun = Instant::now();
        std::thread::scope(|scope| {
            let running = scope.spawn(|| write(control, "start"));
            let mut stopped = false;
            while !running.is_finished() {
                std::thread::sleep(LOOK);
                let over = deadline.is_some_and(|deadline| begun.elapsed() > deadline);
                if (over || stop.load(Relaxed)) && !stopped {
                    stopped = true;
                    write(control, "stop")?;
                }
            }
            running.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

/// One command: every write is one, so nothing may be buffered.
fn write(file: &Path, command: &str) -> Result<(), PktgenError> {
    let written = OpenOptions::new()
        .append(true)
        .open(file)
        .and_then(|mut file| file.write_all(format!("{command}\n").as_bytes()));
    written.map_err(|source| PktgenError::Command { file: file.to_owned(), command: command.to_owned(), source })
}

/// What is told to the device.
fn commands(template: &Template, offered: Rate, until: Until) -> Result<Vec<String>, PktgenError> {
    let Template {
        carried,
        sizes,
        source_mac,
        destination_mac,
        vlan,
        source_port,
        destination_port,
        tunnel,
        flows,
        ..
    } = template;
    let unable = |what| Err(PktgenError::Unable { what });
    match () {
        () if *carried == Carried::TcpSyn => return unable("TCP"),
        () if tunnel.is_some() => return unable("tunnelled packets"),
        () if flows.is_some() => return unable("a part of its ranges (--flows)"),
        () if vlan.is_some_and(|vlan| vlan.count() > 1) => return unable("a range of VLANs"),
        () => {}
    }
    let mut commands = vec![format!("count {}", count(offered, until)), "clone_skb 0".to_owned()];
    commands.push(match sizes {
        Sizes::One(size) => format!("pkt_size {}", size - CHECK_SEQUENCE),
        Sizes::Imix => {
            let (sizes, order) = IMIX;
            let weight = |form| order.iter().filter(|turn| **turn == form).count();
            let weights =
                sizes.iter().enumerate().map(|(form, size)| format!("{},{}", size - CHECK_SEQUENCE, weight(form)));
            format!("imix_weights {}", weights.collect::<Vec<_>>().join(" "))
        }
    });
    commands.push(match offered {
        Rate::PerSecond(rate) => format!("ratep {}", (rate.round() as u64).max(1)),
        Rate::Maximum | Rate::Recorded => "delay 0".to_owned(),
    });
    for (name, range) in [("src", source_mac), ("dst", destination_mac)] {
        commands.push(format!("{name}_mac {}", range.first));
        if range.count() > 1 {
            commands.push(format!("{name}_mac_count {}", range.count()));
        }
    }
    commands.extend(addresses(template)?);
    for (name, range) in [("src", source_port), ("dst", destination_port)] {
        commands.push(format!("udp_{name}_min {}", range.first));
        commands.push(format!("udp_{name}_max {}", range.last));
    }
    commands.extend(vlan.map(|vlan| format!("vlan_id {}", vlan.first)));
    Ok(commands)
}

/// When it is stopped. What has a number of packets to send stops by itself, and is stopped only if it is far behind.
fn deadline(offered: Rate, until: Until) -> Option<Duration> {
    match until {
        Until::Packets(_) => None,
        Until::Time(length) if count(offered, until) == 0 => Some(length),
        Until::Time(length) => Some(length + (length / 100).max(GRACE)),
    }
}

/// How many packets; 0 goes on until it is stopped.
fn count(offered: Rate, until: Until) -> u64 {
    match (until, offered) {
        (Until::Packets(packets), _) => packets,
        (Until::Time(length), Rate::PerSecond(rate)) => ((rate * length.as_secs_f64()).round() as u64).max(1),
        (Until::Time(_), Rate::Maximum | Rate::Recorded) => 0,
    }
}

fn addresses(template: &Template) -> Result<Vec<String>, PktgenError> {
    let Template { source, destination, .. } = template;
    let ends = |name: &str, Range { first, last }: &Range<IpAddr>| {
        [format!("{name}_min {first}"), format!("{name}_max {last}")]
    };
    if source.first.is_ipv4() {
        return Ok([ends("src", source), ends("dst", destination)].concat());
    }
    if source.count() > 1 {
        return Err(PktgenError::Unable { what: "a range of IPv6 sources" });
    }
    Ok([vec![format!("src6 {}", source.first)], ends("dst6", destination).to_vec()].concat())
}

/// Reads `Result: OK: 1000123(c999000+d1123) usec, 1000000 (60byte,0frags)`.
fn result(file: &Path) -> Result<Departures, PktgenError> {
    let failed = |what: &str| PktgenError::Result { file: file.to_owned(), what: what.to_owned() };
    let text = fs::read_to_string(file).map_err(|error| failed(&error.to_string()))?;
    let line = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("Result: "))
        .ok_or_else(|| failed("no line `Result:`"))?;
    let told = line.strip_prefix("OK: ").ok_or_else(|| failed(line))?;
    let number = |text: &str| text.chars().take_while(char::is_ascii_digit).collect::<String>().parse::<u64>().ok();
    let sent = told.split_once("usec, ").and_then(|(_, rest)| number(rest));
    let bytes = told.split_once('(').and_then(|(_, rest)| rest.split_once('(')).and_then(|(_, rest)| number(rest));
    match (number(told), sent) {
        (Some(microseconds), Some(sent)) => {
            Ok(Departures { sent, bytes: sent * bytes.unwrap_or_default(), late: 0, took: Nanos(microseconds * 1_000) })
        }
        _ => Err(failed(line)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generator::outcome::REACHED;

    /// A folder that stands for /proc/net/pktgen. It is none: it shows what would be written, and says what a kernel would say.
    struct StandIn(PathBuf);

    impl StandIn {
        fn new(name: &str, result: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("podlane-pktgen-{name}-{}", std::process::id()));
            fs::create_dir_all(&folder).unwrap();
            for (file, text) in [("pgctrl", ""), ("kpktgend_1", ""), ("veth0", result)] {
                fs::write(folder.join(file), text).unwrap();
            }
            Self(folder)
        }

        fn written(&self, file: &str) -> String {
            fs::read_to_string(self.0.join(file)).unwrap()
        }
    }

    impl Drop for StandIn {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    const RESULT: &str = "Result: OK: 1000500(c1000000+d500) usec, 100000 (60byte,0frags)\n";

    fn go(folder: &StandIn, template: &Template, offered: Rate, until: Until) -> Result<Outcome, PktgenError> {
        let frames = Traffic::of(template).unwrap();
        Pktgen::at(&folder.0, 1).send("veth0", &frames, (offered, until), &AtomicBool::new(false))
    }

    #[test]
    fn what_pktgen_is_told_is_this() {
        let folder = StandIn::new("told", RESULT);
        let template = Template {
            source: "10.0.0.1-10.0.3.255".parse().unwrap(),
            source_port: "1024-65535".parse().unwrap(),
            vlan: Some("7".parse().unwrap()),
            ..Template::default().of_size(68)
        };
        let outcome = go(&folder, &template, Rate::PerSecond(1e5), Until::Time(Duration::from_secs(1))).unwrap();
        assert_eq!(folder.written("kpktgend_1"), "rem_device_all\nadd_device veth0\nrem_device_all\n");
        assert_eq!(folder.written("pgctrl"), "start\n");
        let expected = "count 100000\nclone_skb 0\npkt_size 64\nratep 100000\n\
            src_mac 02:00:00:00:00:01\ndst_mac 02:00:00:00:00:02\n\
            src_min 10.0.0.1\nsrc_max 10.0.3.255\ndst_min 198.19.0.1\ndst_max 198.19.0.1\n\
            udp_src_min 1024\nudp_src_max 65535\nudp_dst_min 9\nudp_dst_max 9\nvlan_id 7\n";
        assert_eq!(folder.written("veth0"), format!("{RESULT}{expected}"));
        assert_eq!((outcome.sent, outcome.sent_bytes, outcome.kept_up()), (100_000, 6_000_000, true));
        assert!(outcome.reached >= 1e5 * REACHED && outcome.reached < 1e5, "{}", outcome.reached);
    }

    #[test]
    fn a_mix_over_ipv6_at_full_rate_is_told_so() {
        let told = commands(
            &Template { sizes: Sizes::Imix, ..Template::over_ipv6() },
            Rate::Maximum,
            Until::Time(Duration::from_secs(1)),
        );
        let told = told.unwrap();
        assert_eq!(told[..4], ["count 0", "clone_skb 0", "imix_weights 60,7 590,4 1514,1", "delay 0"]);
        assert_eq!(told[6..9], ["src6 2001:2::1", "dst6_min 2001:2:0:8000::1", "dst6_max 2001:2:0:8000::1"]);
    }

    #[test]
    fn what_it_cannot_make_is_refused_before_anything_is_written() {
        let folder = StandIn::new("unable", RESULT);
        let unable =
            |template: Template| go(&folder, &template, Rate::Maximum, Until::Packets(1)).unwrap_err().to_string();
        let syn = Template { carried: Carried::TcpSyn, ..Template::default().of_size(76) };
        assert_eq!(unable(syn), "pktgen cannot make TCP; take --engine af-xdp");
        let part = Template { flows: Some(7), ..Template::default() };
        assert_eq!(unable(part), "pktgen cannot make a part of its ranges (--flows); take --engine af-xdp");
        assert_eq!(folder.written("kpktgend_1"), "");
    }

    #[test]
    fn a_device_is_given_back_also_when_a_command_is_refused() {
        let folder = StandIn::new("refused", RESULT);
        fs::remove_file(folder.0.join("veth0")).unwrap();
        let error = go(&folder, &Template::default(), Rate::Maximum, Until::Packets(1)).unwrap_err().to_string();
        assert!(error.starts_with("pktgen refuses `count 1` in "), "{error}");
        assert_eq!(folder.written("kpktgend_1"), "rem_device_all\nadd_device veth0\nrem_device_all\n");
        assert_eq!(folder.written("pgctrl"), "");
    }

    #[test]
    fn only_what_has_no_number_is_stopped_on_time_and_what_left_too_few_is_short() {
        let second = Until::Time(Duration::from_secs(1));
        assert_eq!(deadline(Rate::Maximum, second), Some(Duration::from_secs(1)));
        assert_eq!(deadline(Rate::PerSecond(1e5), second), Some(Duration::from_secs(2)));
        assert_eq!(deadline(Rate::PerSecond(1e5), Until::Packets(1)), None);
        let folder = StandIn::new("short", RESULT);
        let outcome = go(&folder, &Template::default(), Rate::Maximum, Until::Packets(100_001)).unwrap();
        assert_eq!((outcome.sent, outcome.fell_short(), outcome.kept_up()), (100_000, true, false));
    }

    #[test]
    fn a_kernel_without_it_and_one_that_fails_are_said_so() {
        let frames = Traffic::of(&Template::default()).unwrap();
        let nowhere = Pktgen::at("/nowhere", 0);
        let error =
            nowhere.send("veth0", &frames, (Rate::Maximum, Until::Packets(1)), &AtomicBool::new(false)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "this kernel has no pktgen: /nowhere is not there; load it (modprobe pktgen), or take --engine af-xdp"
        );
        let folder = StandIn::new("fails", "Result: Idle\n");
        let error = go(&folder, &Template::default(), Rate::Maximum, Until::Packets(1)).unwrap_err().to_string();
        assert!(error.starts_with("pktgen tells no result in ") && error.contains(": Idle; "), "{error}");
    }
}
