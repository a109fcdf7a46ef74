//! CNI plugins, executed as a container runtime executes them: the reference's, and ours with its daemon.
//!
//! Each has a host of its own, a network namespace where its bridge or its daemon is, and pods that are nobody else's: none sees
//! what another one made.

pub mod bridge;
pub mod podlane;

use std::{
    fs,
    io::Write,
    os::fd::{AsFd, AsRawFd},
    path::PathBuf,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use podlane_host::{Links, Netns};
use serde_json::Value;

use crate::{
    bed::quiet_netns,
    subject::{SubjectError, tools::Tool},
};

/// What an interface is called in a pod.
const IFNAME: &str = "eth0";

/// How long a link may take to be gone after its DEL was answered.
const GONE_WITHIN: Duration = Duration::from_secs(10);

/// Between two looks at whether it is: much shorter than the kernel takes to delete one.
const LOOK_EVERY: Duration = Duration::from_micros(200);

/// Somebody's plugin on its host.
pub struct Plugin {
    /// What says that it is not there.
    tool: Tool,
    /// What is executed.
    binary: PathBuf,
    /// Where it finds other plugins.
    path: PathBuf,
    /// What it is given.
    configuration: String,
    /// Where it works.
    host: Netns,
    /// What works for it; ends with it.
    _behind: Box<dyn Send + Sync>,
}

/// A pod without an interface, or with one.
pub struct Pod {
    netns: Netns,
    id: String,
}

impl Pod {
    /// An empty pod with a name of this process, whose kernel is silent but for IPv4.
    ///
    /// # Errors
    /// [`SubjectError::Netns`].
    pub fn new(name: &str) -> Result<Self, SubjectError> {
        Ok(Self { netns: quiet_netns()?, id: format!("perf-{}-{name}", std::process::id()) })
    }

    /// A path for others, since the namespace has no name.
    fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.netns.as_fd().as_raw_fd())
    }
}

/// What a plugin did, and how long it took from its start to its end.
pub struct Answer {
    /// How long.
    pub took: Duration,
    /// What it printed.
    printed: Value,
}

impl Answer {
    /// The host's end of a link that was made.
    #[must_use]
    pub fn host_link(&self) -> Option<String> {
        let interfaces = self.printed.get("interfaces")?.as_array()?;
        let mut at_host =
            interfaces.iter().filter(|interface| interface.get("sandbox").is_none_or(|inside| inside == ""));
        // A bridge that pods are attached to is named before the links to it.
        Some(at_host.next_back()?.get("name")?.as_str()?.to_owned())
    }
}

impl Plugin {
    /// Executes it for a pod.
    ///
    /// # Errors
    /// [`SubjectError::Unable`] with the plugin's own words.
    pub fn call(&self, verb: &str, pod: &Pod) -> Result<Answer, SubjectError> {
        self.host.run(|| self.call_here(verb, Some(pod)))?
    }

    /// The same without a pod.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub fn ask(&self, verb: &str) -> Result<Answer, SubjectError> {
        self.host.run(|| self.call_here(verb, None))?
    }

    /// Executes it for all pods at once, and says how long all of it took.
    ///
    /// # Errors
    /// As [`call`](Self::call), of the first that failed; the others were carried out.
    pub fn call_together(&self, verb: &str, pods: &[Pod]) -> Result<Duration, SubjectError> {
        let ready = std::sync::Barrier::new(pods.len() + 1);
        let call = |pod| {
            let entered = self.host.enter();
            ready.wait();
            entered?;
            self.call_here(verb, Some(pod))
        };
        std::thread::scope(|scope| {
            let call = &call;
            let callers: Vec<_> = pods.iter().map(|pod| scope.spawn(move || call(pod))).collect();
            ready.wait();
            let began = Instant::now();
            let ended: Vec<_> = callers.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
            let took = began.elapsed();
            for outcome in ended {
                outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            }
            Ok(took)
        })
    }

    /// Waits until a link is gone from the host.
    ///
    /// # Errors
    /// [`SubjectError::Unable`] if it stays.
    pub fn wait_until_gone(&self, link: &str) -> Result<(), SubjectError> {
        let mut links = Links::open_in(&self.host)?;
        let deadline = Instant::now() + GONE_WITHIN;
        while links.by_name(link).is_ok() {
            if Instant::now() > deadline {
                let says = format!("it is still there after {} s", GONE_WITHIN.as_secs());
                return Err(self.tool.unable(format!("remove {link}"), says));
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// How large the program is.
    ///
    /// # Errors
    /// [`SubjectError::Absent`].
    pub fn bytes(&self) -> Result<u64, SubjectError> {
        Ok(fs::metadata(&self.binary).map_err(|_| absent(self.tool))?.len())
    }

    /// From the calling thread's network namespace.
    fn call_here(&self, verb: &str, pod: Option<&Pod>) -> Result<Answer, SubjectError> {
        let mut command = Command::new(&self.binary);
        command.env_clear().env("CNI_COMMAND", verb).env("CNI_PATH", &self.path);
        if let Some(pod) = pod {
            command.env("CNI_CONTAINERID", &pod.id).env("CNI_NETNS", pod.path()).env("CNI_IFNAME", IFNAME);
        }
        // Some plugins run others' programs, which they look for here.
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let began = Instant::now();
        let output = command.spawn().and_then(|mut child| {
            // What ends without reading tells why by its status.
            let _ = child.stdin.take().map(|mut stdin| stdin.write_all(self.configuration.as_bytes()));
            child.wait_with_output()
        });
        let took = began.elapsed();
        let Output { status, stdout, stderr } =
            output.map_err(|source| SubjectError::Start { name: self.tool.program, source })?;
        if status.success() {
            return Ok(Answer { took, printed: serde_json::from_slice(&stdout).unwrap_or_default() });
        }
        let says = [stdout, stderr].concat();
        let says = String::from_utf8_lossy(&says).split_whitespace().collect::<Vec<_>>().join(" ");
        Err(self.tool.unable(verb.to_owned(), says))
    }
}

/// An empty host.
fn host() -> Result<Netns, SubjectError> {
    let host = quiet_netns()?;
    host.run(|| Links::open()?.set_up("lo"))??;
    Ok(host)
}

fn absent(tool: Tool) -> SubjectError {
    SubjectError::Absent { program: tool.program, remedy: tool.install }
}
