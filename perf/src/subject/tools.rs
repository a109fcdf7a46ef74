//! Other people's programs: run to their end, or for as long as a subject runs.

use std::{
    io::{self, ErrorKind, Write},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use podlane_host::Netns;

use crate::subject::{SubjectError, lifeline::Lifeline};

/// How long a program may take to end when it is asked to.
const FAREWELL: Duration = Duration::from_secs(5);

/// How long a program that is to end by itself may take.
const LONGEST: Duration = Duration::from_secs(30);

/// Between two looks at whether it has.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A program, and what to say where it is not there or does not do.
#[derive(Clone, Copy)]
pub(crate) struct Tool {
    pub(crate) program: &'static str,
    /// How to get it.
    pub(crate) install: &'static str,
    /// Where to look when it refuses.
    pub(crate) manual: &'static str,
}

impl Tool {
    /// Runs it to its end in a namespace, within [`LONGEST`], and returns what it printed.
    pub(crate) fn run(self, netns: &Netns, command: Command) -> Result<String, SubjectError> {
        self.feed(netns, command, "")
    }

    /// The same with something to read.
    pub(crate) fn feed(self, netns: &Netns, mut command: Command, input: &str) -> Result<String, SubjectError> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // A child is born in the namespace of the thread that starts it.
        let child = netns.run(|| command.spawn())?.map_err(|source| self.not_started(source))?;
        let _lifeline = Lifeline::of_process(child.id())?;
        let arguments: Vec<_> = command.get_args().map(|argument| argument.to_string_lossy()).collect();
        let Some(output) = outcome(child, input) else {
            return Err(SubjectError::Hangs { program: self.program, task: arguments.join(" "), limit: LONGEST });
        };
        let Output { status, stdout, stderr } = output.map_err(|source| self.not_started(source))?;
        if status.success() {
            return Ok(String::from_utf8_lossy(&stdout).trim().to_owned());
        }
        let says = String::from_utf8_lossy(&stderr).split_whitespace().collect::<Vec<_>>().join(" ");
        Err(self.unable(arguments.join(" "), says))
    }

    /// Starts it in a namespace, silent, with an input that says nothing and ends with it: one that waits for its input's end goes on until then.
    /// It ends when the [`Service`] is dropped, and when this process is killed.
    pub(crate) fn serve(self, netns: &Netns, mut command: Command) -> Result<Service, SubjectError> {
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        // A child is born in the namespace of the thread that starts it.
        let child = netns.run(|| command.spawn())?.map_err(|source| self.not_started(source))?;
        Service::new(self.program, child)
    }

    pub(crate) fn unable(self, task: String, says: String) -> SubjectError {
        SubjectError::Unable { program: self.program, task, says, remedy: self.manual }
    }

    fn not_started(self, source: io::Error) -> SubjectError {
        match source.kind() {
            ErrorKind::NotFound => SubjectError::Absent { program: self.program, remedy: self.install },
            _ => SubjectError::Start { name: self.program, source },
        }
    }
}

/// What a child printed and how it ended; `None` if it had to be killed.
fn outcome(mut child: Child, input: &str) -> Option<io::Result<Output>> {
    let pid = Pid::from_raw(child.id().cast_signed());
    let stdin = child.stdin.take();
    std::thread::scope(|scope| {
        // What ends without reading tells why by its status.
        scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(input.as_bytes())));
        let (send, ended) = std::sync::mpsc::channel();
        // Nobody listens any more once it was killed.
        scope.spawn(move || send.send(child.wait_with_output()));
        ended.recv_timeout(LONGEST).inspect_err(|_| _ = kill(pid, Signal::SIGKILL)).ok()
    })
}

/// A program that runs until it is dropped, or ends by itself.
pub(crate) struct Service {
    name: &'static str,
    child: Child,
    /// Not there only while it is being tied. It is let go of last: a child that was waited for has a number no more.
    lifeline: Option<Lifeline>,
}

impl Service {
    /// A program that was started; from now on it ends with this process, whatever that dies of.
    pub(crate) fn new(name: &'static str, child: Child) -> Result<Self, SubjectError> {
        let mut service = Self { name, child, lifeline: None };
        service.lifeline = Some(Lifeline::of_process(service.child.id())?);
        Ok(service)
    }

    /// That it still runs.
    pub(crate) fn check(&mut self) -> Result<(), SubjectError> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            _ => Err(SubjectError::Ended { name: self.name }),
        }
    }
}

impl Drop for Service {
    /// Asks it to end, so that it takes its programs off the links, and forces it if that is not enough.
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        let _ = kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGTERM);
        let deadline = Instant::now() + FAREWELL;
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                // It may have ended just now.
                let _ = self.child.kill();
                let _ = self.child.wait();
                return;
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }
}
