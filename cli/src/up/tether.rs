//! Ties a child's life to this process: the kernel signals it when its parent dies, even by SIGKILL. The one place of this
//! program with `unsafe`, and the one that starts children.
//!
//! The kernel's "parent" is the *thread* that forked. So every child is started by one thread that lives as long as the
//! process does, never by a thread of the runtime, which may end earlier.

use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};

use rustix::io::FdFlags;
use rustix::process::{Signal, getpid, getppid, nice, set_parent_process_death_signal};
use tokio::sync::oneshot;

/// What is done in the child before its program runs.
#[derive(Debug, Default)]
pub(super) struct Tether {
    /// Kept open in the child, and with it the lock that it carries.
    pub(super) inherited: Option<File>,
    /// Added to the niceness: heavy children leave the light ones room.
    pub(super) nice: i32,
}

struct Request {
    command: Command,
    answer: oneshot::Sender<io::Result<Child>>,
}

/// Starts `command` so that it gets SIGTERM when this process ends, and no Ctrl-C that was meant for this process.
pub(super) async fn spawn(mut command: Command, tether: Tether) -> io::Result<Child> {
    command.process_group(0);
    tie(&mut command, tether);
    let (answer, started) = oneshot::channel();
    let gone = || io::Error::other("the thread that starts children has ended");
    spawner()?
        .send(Request { command, answer })
        .map_err(|_| gone())?;
    started.await.map_err(|_| gone())?
}

/// The thread that is every child's parent; started once, it waits for ever.
fn spawner() -> io::Result<Sender<Request>> {
    static SPAWNER: OnceLock<Sender<Request>> = OnceLock::new();
    if let Some(sender) = SPAWNER.get() {
        return Ok(sender.clone());
    }
    let (sender, requests) = channel::<Request>();
    std::thread::Builder::new()
        .name("spawner".into())
        .spawn(move || {
            for Request {
                mut command,
                answer,
            } in requests
            {
                if let Err(Ok(mut unwanted)) = answer.send(command.spawn()) {
                    // Nobody waits any more: the start was given up.
                    let _ = unwanted.kill();
                    let _ = unwanted.wait();
                }
            }
        })?;
    // Two first callers may both start one: the loser's thread ends, unused, with its sender.
    Ok(SPAWNER.get_or_init(|| sender).clone())
}

#[expect(
    unsafe_code,
    reason = "pre_exec runs between fork and exec; the hook makes system calls only, takes no lock and no memory"
)]
fn tie(command: &mut Command, tether: Tether) {
    let parent = getpid();
    let hook = move || {
        set_parent_process_death_signal(Some(Signal::TERM))?;
        if getppid() != Some(parent) {
            // The parent died before the line above: there is nobody to follow.
            return Err(io::Error::from_raw_os_error(
                rustix::io::Errno::CHILD.raw_os_error(),
            ));
        }
        if let Some(file) = &tether.inherited {
            rustix::io::fcntl_setfd(file, FdFlags::empty())?;
        }
        if tether.nice != 0 {
            nice(tether.nice)?;
        }
        Ok(())
    };
    // SAFETY: see the reason above.
    unsafe { command.pre_exec(hook) };
}
