//! Which workers get nothing new: a flag by worker id or by pod.

use redis::AsyncCommands;

use crate::{Error, Queue, WorkerId, script};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum DrainTarget {
    Worker(WorkerId),
    /// The pod's uid.
    Pod(String),
}

/// Whether the caller is still the leader that may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Epoch {
    Accepted,
    Stale,
}

impl Queue {
    pub async fn drain(&self, target: &DrainTarget, epoch: Option<u64>) -> Result<Epoch, Error> {
        self.flag(target, "drain", epoch).await
    }

    pub async fn undrain(&self, target: &DrainTarget, epoch: Option<u64>) -> Result<Epoch, Error> {
        self.flag(target, "undrain", epoch).await
    }

    async fn flag(
        &self,
        target: &DrainTarget,
        word: &str,
        epoch: Option<u64>,
    ) -> Result<Epoch, Error> {
        let member = match target {
            DrainTarget::Worker(worker) => worker.to_string(),
            DrainTarget::Pod(uid) => format!("pod:{uid}"),
        };
        let args = vec![
            member,
            word.to_owned(),
            epoch.map(|epoch| epoch.to_string()).unwrap_or_default(),
        ];
        let answer = self.run(&script::DRAIN, &[self.keys.drain()], args).await?;
        match answer.number()? {
            1 => Ok(Epoch::Accepted),
            0 => Ok(Epoch::Stale),
            _ => Err(answer.unexpected()),
        }
    }

    /// Holds back all claims of all workers (or lets them go on).
    pub async fn pause(&self, paused: bool) -> Result<(), Error> {
        let key = self.keys.paused();
        let mut manager = self.manager();
        if paused {
            manager.set::<_, _, ()>(key, "1").await?;
        } else {
            manager.del::<_, ()>(key).await?;
        }
        Ok(())
    }
}
