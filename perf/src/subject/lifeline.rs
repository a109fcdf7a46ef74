//! What becomes of other people's programs and their folders when this process is killed (SIGKILL) and can end nobody: a watcher does it, a
//! shell that waits at a pipe.
//!
//! ```text
//!   this process ──(pipe, with nothing in it)──> sh: reads to its end, then ends the program or removes the folder
//! ```
//!
//! A lifeline that is let go of says so through the pipe. An end without a word is this process's death, however it died.
//!
//! The kernel's own signal for a parent's death (`PR_SET_PDEATHSIG`) was refused: it tells of the *thread* that started a program, and here
//! that is one that enters a namespace and ends; and it is `unsafe` to ask for.

use std::{
    ffi::OsStr,
    io::Write,
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Stdio},
};

use crate::subject::SubjectError;

/// The watcher, and where it finds the programs it needs: what this process finds may be narrowed down, to see who is not installed.
const SHELL: &str = "/bin/sh";
const PROGRAMS: &str = "/usr/bin:/bin";

/// Ends a process: asks it, so that it takes its programs off the links, and forces it after five seconds.
const END: &str = r#"read -r _ && exit
kill "$0"; left=50
while kill -0 "$0" && [ "$left" -gt 0 ]; do sleep 0.1; left=$((left - 1)); done
kill -9 "$0""#;

/// Removes a folder, in which somebody who is ending may still write for a while.
const REMOVE: &str = r#"read -r _ && exit
left=50
until rm -rf -- "$0" || [ "$left" = 0 ]; do sleep 0.1; left=$((left - 1)); done"#;

/// Ties something to the life of this process, until it is dropped.
pub(crate) struct Lifeline(Child);

impl Lifeline {
    /// Has a process end when this one does.
    pub(crate) fn of_process(id: u32) -> Result<Self, SubjectError> {
        Self::tie(END, id.to_string().as_ref())
    }

    /// Has a folder removed when this process ends.
    pub(crate) fn of_folder(path: &Path) -> Result<Self, SubjectError> {
        Self::tie(REMOVE, path.as_os_str())
    }

    fn tie(script: &str, object: &OsStr) -> Result<Self, SubjectError> {
        let mut watcher = Command::new(SHELL);
        watcher.args(["-c", script]).arg(object).env("PATH", PROGRAMS).current_dir("/");
        watcher.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        // What is sent to all processes of a terminal, as Ctrl-C is, is not meant for it.
        watcher.process_group(0);
        watcher.spawn().map(Self).map_err(|source| SubjectError::Start { name: SHELL, source })
    }
}

impl Drop for Lifeline {
    fn drop(&mut self) {
        // A watcher that somebody killed has nothing to be told.
        let _ = self.0.stdin.take().map(|mut pipe| pipe.write_all(b"over\n"));
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        io::{BufRead, BufReader},
        path::PathBuf,
        time::{Duration, Instant},
    };

    use super::*;
    use crate::subject::{folder::Folder, tools::Service};

    /// Set for the process that the test below starts, to be killed.
    const VICTIM: &str = "PODLANE_PERF_VICTIM";

    /// Precedes what the victim says.
    const SAYS: &str = "victim:";

    fn sleeper() -> Child {
        Command::new("sleep").arg("1000").stdin(Stdio::null()).spawn().unwrap()
    }

    /// Whether a process is there and no mere entry of one that has ended.
    fn lives(id: &str) -> bool {
        fs::read(format!("/proc/{id}/cmdline")).is_ok_and(|line| !line.is_empty())
    }

    /// Starts a program, makes a folder, says which, and waits to be killed.
    fn live_as_a_victim() {
        let folder = Folder::make("victim").unwrap();
        folder.write("file", "text").unwrap();
        let child = sleeper();
        let id = child.id();
        let _service = Service::new("sleep", child).unwrap();
        writeln!(std::io::stdout(), "\n{SAYS}{id} {}", folder.path().display()).unwrap();
        std::thread::sleep(Duration::from_secs(60));
    }

    #[test]
    fn a_process_that_is_killed_takes_its_programs_and_folders_with_it() {
        if std::env::var_os(VICTIM).is_some() {
            return live_as_a_victim();
        }
        let test = concat!(module_path!(), "::a_process_that_is_killed_takes_its_programs_and_folders_with_it");
        let (_, test) = test.split_once("::").unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", test, "--nocapture"]).env(VICTIM, "").stdout(Stdio::piped());
        let mut victim = command.spawn().unwrap();
        let lines = BufReader::new(victim.stdout.take().unwrap()).lines().map_while(Result::ok);
        let said = lines.into_iter().find_map(|line| Some(line.strip_prefix(SAYS)?.to_owned())).unwrap();
        let (program, folder) = said.split_once(' ').unwrap();
        let folder = PathBuf::from(folder);
        // A program that is just being started has no command line for a moment.
        eventually(&|| lives(program) && folder.join("file").exists(), &said);

        victim.kill().unwrap();
        victim.wait().unwrap();
        eventually(
            &|| !lives(program) && !folder.exists(),
            &format!("{said} outlives the process that it belonged to"),
        );
    }

    fn eventually(holds: &dyn Fn() -> bool, what: &str) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !holds() {
            assert!(Instant::now() < deadline, "{what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn what_was_let_go_of_lives_on() {
        let mut child = sleeper();
        drop(Lifeline::of_process(child.id()).unwrap());
        // The watcher has ended, and would have done something by now.
        assert!(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
