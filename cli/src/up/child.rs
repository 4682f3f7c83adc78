//! One child process: started tethered, signalled without a race against its pid being reused, waited for by whoever asks.

use std::io;
use std::process::{ChildStdin, Command, ExitStatus};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use tokio::sync::watch;

use super::tether::{self, Tether};

/// A running child; asked to end when dropped.
#[derive(Debug)]
pub(super) struct Child {
    pid: Pid,
    reaped: Arc<std::sync::Mutex<bool>>,
    exit: watch::Receiver<Option<ExitStatus>>,
    started: Instant,
    /// The child may follow its parent by reading it; closed when this is dropped.
    _stdin: Option<ChildStdin>,
}

impl Child {
    pub(super) async fn spawn(command: Command, tether: Tether) -> io::Result<Self> {
        let mut child = tether::spawn(command, tether).await?;
        let pid = Pid::from_child(&child);
        let stdin = child.stdin.take();
        let reaped = Arc::new(std::sync::Mutex::new(false));
        let (tell, exit) = watch::channel(None);
        let mark = Arc::clone(&reaped);
        std::thread::Builder::new()
            .name("waiter".into())
            .spawn(move || {
                // Waits without taking the pid away, so that the lock is held only for the moment in which it goes.
                while let Err(rustix::io::Errno::INTR) = waitid(
                    WaitId::Pid(pid),
                    WaitIdOptions::EXITED | WaitIdOptions::NOWAIT,
                ) {}
                let mut reaped = lock(&mark);
                *reaped = true;
                let status = child.wait();
                drop(reaped);
                tell.send_replace(Some(status.unwrap_or_default()));
            })?;
        Ok(Child {
            pid,
            reaped,
            exit,
            started: Instant::now(),
            _stdin: stdin,
        })
    }

    #[cfg(test)]
    pub(super) fn pid(&self) -> Pid {
        self.pid
    }

    pub(super) fn life(&self) -> Duration {
        self.started.elapsed()
    }

    pub(super) fn signal(&self, signal: Signal) {
        let reaped = lock(&self.reaped);
        if !*reaped {
            // It can only fail because the child has ended.
            let _ = kill_process(self.pid, signal);
        }
    }

    /// Waits for its death, however it dies.
    pub(super) async fn exited(&self) -> ExitStatus {
        let mut exit = self.exit.clone();
        match exit.wait_for(Option::is_some).await {
            Ok(status) => (*status).unwrap_or_default(),
            Err(_) => ExitStatus::default(),
        }
    }

    /// SIGTERM, and SIGKILL to one that has not ended in time.
    pub(super) async fn stop(&self, patience: Duration) -> ExitStatus {
        self.signal(Signal::TERM);
        match tokio::time::timeout(patience, self.exited()).await {
            Ok(status) => status,
            Err(_) => {
                self.signal(Signal::KILL);
                self.exited().await
            }
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.signal(Signal::TERM);
    }
}

fn lock(mutex: &std::sync::Mutex<bool>) -> std::sync::MutexGuard<'_, bool> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    fn sleeper() -> Command {
        let mut command = Command::new("sleep");
        command.arg("600");
        command
    }

    #[tokio::test]
    async fn a_death_is_seen_however_it_came() {
        let child = Child::spawn(sleeper(), Tether::default()).await.unwrap();
        kill_process(child.pid(), Signal::KILL).unwrap();
        assert_eq!(child.exited().await.signal(), Some(9));
        child.signal(Signal::TERM);
    }

    #[tokio::test]
    async fn one_that_ignores_sigterm_is_killed_after_the_patience() {
        let dir = tempfile::tempdir().unwrap();
        let said = dir.path().join("said");
        let mut stubborn = Command::new("sh");
        stubborn
            .args([
                "-c",
                "trap '' TERM; echo ready; while true; do sleep 1; done",
            ])
            .stdout(std::fs::File::create(&said).unwrap());
        let child = Child::spawn(stubborn, Tether::default()).await.unwrap();
        let end = Instant::now() + Duration::from_secs(20);
        while std::fs::read_to_string(&said).unwrap() != "ready\n" {
            assert!(Instant::now() < end, "the trap was never set");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let status = child.stop(Duration::from_millis(300)).await;
        assert_eq!(status.signal(), Some(9));
    }

    #[tokio::test]
    async fn a_program_that_is_missing_is_an_error_and_no_child() {
        let error = Child::spawn(Command::new("/no/such/program"), Tether::default())
            .await
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[tokio::test]
    async fn an_inherited_lock_lives_exactly_as_long_as_the_child() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let file = super::super::lock::open(&path).unwrap();
        assert!(super::super::lock::try_lock(&file).unwrap());
        let child = Child::spawn(
            sleeper(),
            Tether {
                inherited: Some(file),
                nice: 1,
            },
        )
        .await
        .unwrap();
        let other = super::super::lock::open(&path).unwrap();
        assert!(
            !super::super::lock::try_lock(&other).unwrap(),
            "the child does not hold the lock"
        );
        child.stop(Duration::from_secs(5)).await;
        // Another test's child, between its fork and its program, holds whatever was open here when it was forked.
        let end = Instant::now() + Duration::from_secs(20);
        while !super::super::lock::try_lock(&other).unwrap() {
            assert!(Instant::now() < end, "the lock outlived the child");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
