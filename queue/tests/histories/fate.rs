//! Redis is stopped or killed and starts again, perhaps without the end of its file; then the reconciler puts back what the
//! database has promised.

use std::time::{Duration, Instant};

use queue::QueueName;
use redis::AsyncCommands;

use crate::model::{CANCELS, Place, QUEUES, Seen};
use crate::step::Fate;
use crate::world::{Holds, World, ensure, tell};

impl World<'_> {
    pub(crate) async fn restart(&mut self, fate: Fate) -> Holds {
        self.counts.restarts += 1;
        let server = &mut self.site.server;
        match fate {
            Fate::Shutdown => server.stop(),
            Fate::Kill => server.kill(),
            Fate::Lose { bytes } => {
                self.counts.losses += 1;
                server.kill_and_lose(bytes);
            }
        }
        server.start_again();
        self.site.connect_again().await?;
        tell!(self, "Redis ends ({fate:?}) and starts again");
        // Whoever had read the outbox lost the connection, and begins anew.
        self.read = [vec![], vec![]];
        if let Fate::Lose { .. } = fate {
            self.lossy = true;
            self.rewrite_file().await?;
            self.learn().await?;
            self.reconcile().await?;
        }
        self.check(true).await
    }

    /// A script is written between MULTI and EXEC. Where the file ends within one, Redis (seen with 7.0.15) rightly leaves the
    /// whole script out, but keeps its first commands in the file; if it is restarted once more before the file is written anew,
    /// they come to life with the next script: half a transition. So, as should be done after a power cut, the file is written anew.
    async fn rewrite_file(&mut self) -> Holds {
        let redis = &mut self.site.redis;
        redis::cmd("BGREWRITEAOF").exec_async(redis).await?;
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let info: redis::InfoDict = redis::cmd("INFO")
                .arg("persistence")
                .query_async(redis)
                .await?;
            let busy = ["aof_rewrite_in_progress", "aof_rewrite_scheduled"]
                .into_iter()
                .any(|field| info.get::<u8>(field) != Some(0));
            if !busy {
                return Ok(());
            }
            ensure!(
                Instant::now() < deadline,
                "error",
                "Redis does not rewrite its file"
            );
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// What Redis says now is where the model goes on: nothing can be expected of what was lost.
    async fn learn(&mut self) -> Holds {
        let text = self.look_at_all().await?;
        self.read_back(&text);
        let redis = &mut self.site.redis;
        let model = &mut self.model;
        model.flags = redis.smembers("task:drain").await?;
        model.held_back = redis.exists("task:paused").await?;
        model.epoch = redis
            .get::<_, Option<u64>>("task:epoch")
            .await?
            .unwrap_or(0);
        model.last_reap = redis
            .get::<_, Option<u64>>("task:reap:last")
            .await?
            .unwrap_or(0);
        model.tickets.clear();
        for (n, queue) in QUEUES.iter().enumerate() {
            let key = match *queue == QueueName::default().as_str() {
                true => "task:alone:next".to_owned(),
                false => format!("task:alone:next:{queue}"),
            };
            if let Some(owner) = redis.get::<_, Option<String>>(key).await? {
                model.tickets.insert(n, owner);
            }
        }
        let mut keys = std::collections::BTreeMap::new();
        for n in 0..4 {
            let key = format!("key{n}");
            let owner: Option<String> = redis.get(format!("idem:{key}")).await?;
            if let Some(owner) = owner.and_then(|id| id.strip_prefix('t')?.parse().ok()) {
                keys.insert(key, owner);
            }
        }
        model.keys = keys;
        let workers: Vec<String> = model.seen.drain().map(|(name, _)| name).collect();
        for name in workers {
            let fields = [
                "claim_nonce",
                "claim_id",
                "claim_token",
                "alone_id",
                "alone_token",
                "pod_uid",
            ];
            let found: Vec<Option<String>> = redis::cmd("HMGET")
                .arg(format!("worker:{name}"))
                .arg(&fields)
                .query_async(redis)
                .await?;
            let word = |n: usize| found.get(n).cloned().flatten();
            let task = |id: usize, token: usize| {
                let n = word(id)?.strip_prefix('t')?.parse().ok()?;
                Some((n, queue::Token::new(word(token)?)))
            };
            let seen = Seen {
                nonce: word(0).unwrap_or_default(),
                claim: task(1, 2),
                alone: task(3, 4),
                pod: word(5),
            };
            model.seen.insert(name, seen);
        }
        Ok(())
    }

    /// As the API's: every row without a final record of its life has a task of that life.
    pub(crate) async fn reconcile(&mut self) -> Holds {
        for n in 0..self.model.tasks.len() {
            let task = &self.model.tasks[n];
            let Some(row_life) = task.row_life else {
                continue;
            };
            let recorded = self.database.contains_key(&(n, row_life));
            if recorded {
                continue;
            }
            if task.place == Place::Gone {
                self.enqueue(n, row_life, 0, 0, None).await?;
            } else if task.life < row_life {
                match task.place {
                    Place::Final if task.completed => {
                        self.forget(n).await?;
                        self.enqueue(n, row_life, 0, 0, None).await?;
                    }
                    Place::Final => self.replay(n, row_life).await?,
                    _ => {
                        let word = CANCELS.iter().position(|kind| *kind == "cancelled");
                        self.cancel(n, word.unwrap_or(0)).await?;
                    }
                }
            }
        }
        Ok(())
    }
}
